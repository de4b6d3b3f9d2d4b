"""OpenVINO, for processors whose bf16 or int8 units it knows better; reads the ONNX file itself."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from edgeconsole.bundle import Manifest
from edgeconsole.engines import Engine, Precision, install_hint
from edgeconsole.errors import BackendError
from edgeconsole.protocol.tensors import Array

_CONVERTER: Final = ("openvino.tools.ovc", "openvino_telemetry")
"""Its converter and what reports the import of it to Google Analytics: a worker tells nobody, and
without them it starts 0.2 s sooner in 10 MB less."""
_TYPES: Final = {Precision.FP32: "f32", Precision.BF16: "bf16", Precision.FP16: "f16"}


class OpenVinoBackend:
    """An ONNX model in OpenVINO's CPU plugin."""

    def __init__(
        self, path: Path, manifest: Manifest, precision: Precision, *, threads: int
    ) -> None:
        openvino = import_openvino()
        self._tensor: Callable[..., Any] = openvino.Tensor
        options = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": "1",
            "INFERENCE_NUM_THREADS": str(threads),
            # Left to itself it computes in bf16 where the processor can.
            "INFERENCE_PRECISION_HINT": _TYPES[precision],
            # Workers share cores: each pinning itself to the first ones would queue them there.
            "ENABLE_CPU_PINNING": "NO",
        }
        try:
            model = openvino.Core().compile_model(str(path), "CPU", options)
            computes_in = model.get_property("INFERENCE_PRECISION_HINT").to_string()
        # What OpenVINO and its parsers raise shares no base below Exception.
        except Exception as error:
            raise BackendError(f"OpenVINO cannot load {path.name}: {_first_line(error)}") from error
        if computes_in != _TYPES[precision]:
            raise BackendError(
                f"this processor cannot compute in {precision}: OpenVINO would take {computes_in}"
            )
        self._model = model
        self._request = model.create_infer_request()
        self._inputs = _ports(model.inputs, [spec.name for spec in manifest.inputs], "inputs")
        self._outputs = _ports(model.outputs, [spec.name for spec in manifest.outputs], "outputs")

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """Run the model once; see `Backend.run`."""
        request = self._request
        try:
            for port, array in zip(self._inputs, inputs, strict=True):
                request.set_tensor(port, self._shared(array))
            request.infer()
            return [np.array(request.get_tensor(port).data) for port in self._outputs]
        except Exception as error:
            raise BackendError(f"the model failed: {_first_line(error)}") from error

    def bind(self, inputs: Sequence[Array], outputs: Sequence[Array]) -> Callable[[], None]:
        """Bind arrays in place; see `Backend.bind`."""
        # One of its own: `run` gives its request other inputs.
        request = self._model.create_infer_request()
        try:
            for port, array in zip(
                (*self._inputs, *self._outputs), (*inputs, *outputs), strict=True
            ):
                request.set_tensor(port, self._shared(array))
        except Exception as error:
            raise BackendError(f"the model does not take this: {_first_line(error)}") from error
        infer = request.infer

        def run_bound() -> None:
            try:
                infer()
            except Exception as error:
                raise BackendError(f"the model failed: {_first_line(error)}") from error

        return run_bound

    def _shared(self, array: Array) -> Any:
        return self._tensor(_writeable(array), shared_memory=True)


def import_openvino() -> Any:
    """Return the package, imported without what converts models and tells of it."""
    hidden = {name: sys.modules.get(name) for name in _CONVERTER}
    sys.modules.update(dict.fromkeys(_CONVERTER))  # type: ignore[arg-type]
    try:
        import openvino
    except ImportError as error:
        raise BackendError(
            f"OpenVINO cannot be imported: {error}", hint=install_hint(Engine.OPENVINO)
        ) from error
    finally:
        for name, module in hidden.items():
            if module is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module
    return openvino


def _writeable(array: Array) -> Array:
    """Return the same memory for an engine that only reads inputs but asks for more."""
    if array.flags.writeable or not array.nbytes:
        return array
    memory = memoryview((ctypes.c_byte * array.nbytes).from_address(array.ctypes.data))
    return np.ndarray(array.shape, array.dtype, memory)


def _ports(ports: Sequence[Any], names: Sequence[str], what: str) -> list[Any]:
    """Return the model's ports in the manifest's order; raises `BackendError` if they are others."""
    found = {name: port for port in ports for name in port.get_names()}
    if not set(names) <= set(found) or (what == "inputs" and len(ports) != len(names)):
        raise BackendError(
            f"the graph's {what} {sorted(found)} are not those of the manifest, {list(names)}"
        )
    return [found[name] for name in names]


def _first_line(error: Exception) -> str:
    """Return what an error says; OpenVINO's begin with lines about its own sources."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("Exception from", "Check '"))]
    return (told or lines or [type(error).__name__])[0]
