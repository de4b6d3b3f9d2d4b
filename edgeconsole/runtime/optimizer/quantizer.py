"""`ModelQuantizer`: int8 weights and activations, with ONNX Runtime's tools; needs `onnx`, no torch.

Started as `python -m edgeconsole.runtime.optimizer.quantizer`. Ranges are taken from calibration
data once for each calibrator and used for every variant. Source for the number formats: ONNX
Runtime's "Quantize ONNX models": unsigned activations and signed weights for each channel on x86,
weights of seven bits without VNNI, whose sums may saturate; signed and symmetric on ARM.
"""

from __future__ import annotations

import platform
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edgeconsole.bundle import Bundle
from edgeconsole.errors import BackendError
from edgeconsole.protocol.tensors import Array
from edgeconsole.runtime.optimizer.child import serve
from edgeconsole.runtime.optimizer.weights import store_in_bytes
from edgeconsole.runtime.optimizer.words import (
    Calibrator,
    Quantize,
    Quantized,
    Rank,
    Ranked,
    ToQuantizer,
)

if TYPE_CHECKING:
    from onnx import ModelProto

_WEIGHTED: Final = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU", "RNN"})
_PRODUCTS: Final = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_DYNAMIC: Final = ("MatMul", "Gemm", "LSTM", "Gather")
"""Convolutions are left out: quantised at run time they are slower than in float."""
_MINMAX_ROWS: Final = 256
_HISTOGRAM_ROWS: Final = 64
"""Histograms keep all intermediate values in memory."""
_RANK_ROWS: Final = 32
_MOST_GROUPS: Final = 24


class ModelQuantizer:
    """Quantises one bundle's model, or one that was made from it."""

    def handle(self, request: ToQuantizer) -> Quantized | Ranked:
        """Do one request; raises `BackendError`, or what the tools raise."""
        try:
            import onnx  # noqa: F401
        except ImportError as error:
            raise BackendError(
                "quantising needs the package onnx", hint="pip install 'edgeconsole[optimize]'"
            ) from error
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self._rank(request) if isinstance(request, Rank) else self._quantize(request)

    def _quantize(self, request: Quantize) -> Quantized:
        source = _prepared(Path(request.model), Path(request.folder))
        out = Path(request.out)
        if request.weights_only:
            tensors = store_in_bytes(source, out)
            if not tensors:
                raise BackendError("the model has no weights that are worth storing in bytes")
            return Quantized(tensors, tensors)
        if request.calibrator is None:
            _quantize_dynamically(source, out)
        else:
            _quantize_statically(source, out, request)
        done, of = count_quantized(out)
        if not done:
            raise BackendError(
                "nothing in the model can be quantised this way"
                if of
                else "the model has no convolution, product or recurrent layer"
            )
        return Quantized(done, of)

    def _rank(self, request: Rank) -> Ranked:
        """Quantise one group of nodes at a time; the worse the outputs, the more sensitive."""
        import onnx

        source = _prepared(Path(request.model), Path(request.folder))
        nodes = [
            node.name
            for node in onnx.load(source, load_external_data=False).graph.node
            if node.op_type in _PRODUCTS
        ]
        size = -(-len(nodes) // _MOST_GROUPS)
        groups = [tuple(nodes[at : at + size]) for at in range(0, len(nodes), size)]
        bundle = Bundle.open(request.bundle, on_device=True)
        parts = list(_parts(bundle, _rows(bundle, _RANK_ROWS)))
        exact = _outputs(source, parts)
        until_s = time.monotonic() + request.time_limit_s
        errors: dict[tuple[str, ...], float] = {}
        out = Path(request.folder) / "ranked.onnx"
        for group in groups:
            if time.monotonic() > until_s:
                break
            others = tuple(name for name in nodes if name not in group)
            _quantize_statically(
                source,
                out,
                Quantize(
                    bundle=request.bundle,
                    model=request.model,
                    folder=request.folder,
                    out=str(out),
                    calibrator=request.calibrator,
                    products_only=True,
                    keep=others,
                ),
            )
            errors[group] = _distance(exact, _outputs(out, parts))
        out.unlink(missing_ok=True)
        ranked = sorted(errors, key=lambda group: -errors[group])
        return Ranked(ranked, complete=len(errors) == len(groups))


def _prepared(model: Path, folder: Path) -> Path:
    """Return the float model with its constants folded and its shapes known; made once a folder."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    folder.mkdir(parents=True, exist_ok=True)
    prepared = folder / "prepared.onnx"
    if not prepared.exists():
        partial = folder / "prepared.partial.onnx"
        quant_pre_process(str(model), str(partial), skip_symbolic_shape=True)
        _name_nodes(partial)
        partial.rename(prepared)
    return prepared


def _name_nodes(path: Path) -> None:
    """Give every node a name of its own: what stays float is chosen by name."""
    import onnx

    model = onnx.load(path)
    seen: set[str] = set()
    for number, node in enumerate(model.graph.node):
        if not node.name or node.name in seen:
            node.name = f"{node.op_type}_{number}"
        seen.add(node.name)
    onnx.save(model, path)


def _quantize_dynamically(source: Path, out: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        source,
        out,
        op_types_to_quantize=list(_DYNAMIC),
        per_channel=True,
        reduce_range=_saturates(),
        weight_type=QuantType.QInt8,
    )


def _quantize_statically(source: Path, out: Path, request: Quantize) -> None:
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    calibrator = request.calibrator
    assert calibrator is not None
    methods = {
        Calibrator.MINMAX: CalibrationMethod.MinMax,
        Calibrator.PERCENTILE: CalibrationMethod.Percentile,
        Calibrator.ENTROPY: CalibrationMethod.Entropy,
    }
    bundle = Bundle.open(request.bundle, on_device=True)
    limit = _MINMAX_ROWS if calibrator is Calibrator.MINMAX else _HISTOGRAM_ROWS
    symmetric = not _is_x86()
    quantize_static(
        source,
        out,
        _Rows(_parts(bundle, _rows(bundle, limit))),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=list(_PRODUCTS) if request.products_only else None,
        per_channel=True,
        reduce_range=_saturates(),
        activation_type=QuantType.QInt8 if symmetric else QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=list(request.keep),
        calibrate_method=methods[calibrator],
        extra_options={"ActivationSymmetric": symmetric},
        calibration_cache_path=_ranges(Path(request.folder), calibrator, request.products_only),
    )


def _ranges(folder: Path, calibrator: Calibrator, products_only: bool) -> Path:  # noqa: FBT001
    return folder / f"ranges-{calibrator}{'-products' if products_only else ''}.json"


class _Rows:
    """Calibration rows, as many at once as the model takes; ONNX Runtime's `CalibrationDataReader`."""

    def __init__(self, parts: Iterator[dict[str, Array]]) -> None:
        self._parts = parts

    def get_next(self) -> dict[str, Array] | None:
        """Return the next rows, or `None` after the last."""
        return next(self._parts, None)


def _parts(bundle: Bundle, inputs: dict[str, Array]) -> Iterator[dict[str, Array]]:
    """Yield rows one by one, or as many as a model with a fixed batch takes."""
    spec = bundle.manifest.inputs[0]
    step = 1 if bundle.manifest.is_batched or not spec.shape else spec.shape[0]
    rows = len(next(iter(inputs.values())))
    for at in range(0, rows - step + 1, step):
        yield {name: array[at : at + step] for name, array in inputs.items()}


def _rows(bundle: Bundle, limit: int) -> dict[str, Array]:
    rows = bundle.calibration()
    if rows is None:
        raise BackendError(
            "static quantisation needs calibration data, the bundle has none",
            hint="pack the model with calibration=...",
        )
    return {name: array[:limit] for name, array in rows.items()}


def _outputs(model: Path, parts: Sequence[dict[str, Array]]) -> list[Array]:
    from edgeconsole.packer.check import OnnxModel

    loaded = OnnxModel(model)
    answers = [list(loaded.run(part).values()) for part in parts]
    return [np.concatenate(column) for column in zip(*answers, strict=True)]


def _distance(exact: Sequence[Array], got: Sequence[Array]) -> float:
    """Return the relative error, the mean over outputs."""
    errors = []
    for one, other in zip(exact, got, strict=True):
        size = float(np.linalg.norm(one.astype(np.float64)))
        difference = float(np.linalg.norm(one.astype(np.float64) - other.astype(np.float64)))
        errors.append(difference / max(size, 1e-12))
    return float(np.mean(errors))


def count_quantized(path: Path) -> tuple[int, int]:
    """Return how many weighted nodes run in integers, and how many there are.

    A quantiser that silently leaves out what it does not know would pass for one that did it all.
    """
    import onnx

    model: ModelProto = onnx.load(path)
    makers: dict[str, Any] = {name: node for node in model.graph.node for name in node.output}
    done = of = 0
    for node in model.graph.node:
        if node.op_type in {"MatMulInteger", "ConvInteger", "DynamicQuantizeLSTM"}:
            done, of = done + 1, of + 1
        elif node.op_type in _WEIGHTED:
            of += 1
            sources = [makers.get(name) for name in node.input[:2]]
            done += all(
                maker is not None and maker.op_type == "DequantizeLinear" for maker in sources
            )
    return done, of


def _is_x86() -> bool:
    return platform.machine().lower() in {"x86_64", "amd64", "i686"}


def _saturates() -> bool:
    """Say whether sums of products of eight bits may saturate: x86 without VNNI."""
    return _is_x86() and "vnni" not in _cpu_flags()


def _cpu_flags() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line for line in lines if line.startswith("flags")), "")


if __name__ == "__main__":
    sys.exit(serve(ToQuantizer, ModelQuantizer().handle))
