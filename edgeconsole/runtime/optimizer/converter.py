"""`TfliteConverter`: a bundle's exported program as a file for LiteRT; needs the extra `litert-build`.

Started as `python -m edgeconsole.runtime.optimizer.converter`: loading `model.pt2` can run code. The
file is for one row of a model with a free batch dimension, for LiteRT's shapes are fixed.
"""

from __future__ import annotations

import keyword
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from edgeconsole.bundle import Bundle, Manifest
from edgeconsole.errors import BackendError
from edgeconsole.protocol.tensors import Array
from edgeconsole.runtime.optimizer.child import serve
from edgeconsole.runtime.optimizer.words import Convert, Converted, TfliteForm

_ROWS: Final = 256
"""Of calibration, at most."""
_SIGNATURE: Final = "serving_default"


class TfliteConverter:
    """Converts one bundle's model."""

    def handle(self, request: Convert) -> Converted:
        """Do one request; raises `BackendError`, or what the tools raise."""
        bundle = Bundle.open(request.bundle)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if request.form is TfliteForm.FLOAT:
                _convert(bundle, Path(request.out))
                return Converted(_for_how_many(bundle.manifest))
            rows = None
            if request.form is TfliteForm.STATIC:
                rows = list(_rows(bundle))
            _quantize(Path(request.float_file), Path(request.out), rows)
        return Converted(f"{_for_how_many(bundle.manifest)}, by ai-edge-quantizer")


def _convert(bundle: Bundle, out: Path) -> None:
    manifest = bundle.manifest
    _check_shapes(manifest)
    import litert_torch
    import torch

    from edgeconsole.runtime.optimizer.building import load_program

    golden, _ = bundle.golden()
    sample = {
        spec.name: torch.from_numpy(_one(golden[spec.name], manifest)) for spec in manifest.inputs
    }
    module = _named(load_program(bundle).module(), manifest)
    litert_torch.convert(module, sample_kwargs=sample).export(str(out))


def _named(program: Any, manifest: Manifest) -> Any:
    """Return a module that takes and returns the manifest's names: the file's signature has them."""
    import torch

    inputs = [spec.name for spec in manifest.inputs]
    outputs = [spec.name for spec in manifest.outputs]

    class Named(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.program = program

        def forward(self, **given: torch.Tensor) -> dict[str, torch.Tensor]:
            found = self.program(*(given[name] for name in inputs))
            return dict(zip(outputs, found, strict=True))

    return Named()


def _quantize(source: Path, out: Path, rows: list[dict[str, Array]] | None) -> None:
    """Write int8 weights, and int8 activations where calibration rows are given."""
    from ai_edge_quantizer import quantizer, recipe
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.qtyping import TFLOperationName

    ways = recipe.dynamic_wi8_afp32() if rows is None else recipe.static_wi8_ai8()
    made = quantizer.Quantizer(str(source), ways)
    ranges = None
    if rows is not None:
        # Requests bring floats, and answers are floats.
        for edge in (TFLOperationName.INPUT, TFLOperationName.OUTPUT):
            made.update_quantization_recipe(".*", edge, algorithm_key=AlgorithmName.NO_QUANTIZE)
        ranges = made.calibrate({_SIGNATURE: rows}, num_threads=1)
    found = made.quantize(ranges, enable_progress_report=False)
    if found.quantized_model is None:
        raise BackendError("nothing in the model can be quantised this way")
    out.write_bytes(found.quantized_model)


def _check_shapes(manifest: Manifest) -> None:
    """Refuse what one file of fixed shapes cannot stand for."""
    for spec in (*manifest.inputs, *manifest.outputs):
        fixed = spec.shape[1:] if manifest.is_batched else spec.shape
        if any(dim < 0 for dim in fixed):
            raise BackendError(
                f"{spec.name!r} has a free dimension beside the batch, LiteRT's shapes are fixed"
            )
    for spec in manifest.inputs:
        if not spec.name.isidentifier() or keyword.iskeyword(spec.name):
            raise BackendError(f"the input's name {spec.name!r} cannot be a parameter in Python")


def _one(array: Array, manifest: Manifest) -> Array:
    return np.ascontiguousarray(array[:1] if manifest.is_batched else array)


def _for_how_many(manifest: Manifest) -> str:
    return "for one row" if manifest.is_batched else "for its fixed shape"


def _rows(bundle: Bundle) -> Iterator[dict[str, Array]]:
    """Yield what is fed at once, as the quantiser for ONNX Runtime does."""
    calibration = bundle.calibration()
    if calibration is None:
        raise BackendError("static quantisation needs calibration data, the bundle has none")
    manifest = bundle.manifest
    spec = manifest.inputs[0]
    step = 1 if manifest.is_batched or not spec.shape else spec.shape[0]
    rows = min(_ROWS, len(next(iter(calibration.values()))))
    for at in range(0, rows - step + 1, step):
        yield {
            name: np.ascontiguousarray(array[at : at + step]) for name, array in calibration.items()
        }


if __name__ == "__main__":
    sys.exit(serve(Convert, TfliteConverter().handle))
