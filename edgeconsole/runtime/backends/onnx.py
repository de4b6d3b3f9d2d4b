"""ONNX Runtime, the engine every device has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from edgeconsole.bundle import Manifest
from edgeconsole.errors import BackendError
from edgeconsole.protocol.tensors import Array


class OnnxBackend:
    """An ONNX model in ONNX Runtime's CPU provider."""

    def __init__(self, path: Path, manifest: Manifest, *, intra_op_threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = intra_op_threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Spinning threads answer some µs sooner and take a core from everything else.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        # ONNX Runtime's exceptions share no base below Exception.
        except Exception as error:
            raise BackendError(f"ONNX Runtime cannot load {path.name}: {error}") from error
        self._inputs = [spec.name for spec in manifest.inputs]
        self._outputs = [spec.name for spec in manifest.outputs]
        self._check_names()

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """Run the model once; see `Backend.run`."""
        feed = dict(zip(self._inputs, inputs, strict=True))
        try:
            return list(self._session.run(self._outputs, feed))
        except Exception as error:
            raise BackendError(f"the model failed: {error}") from error

    def bind(self, inputs: Sequence[Array], outputs: Sequence[Array]) -> Callable[[], None]:
        """Bind arrays in place; see `Backend.bind`."""
        binding = self._session.io_binding()
        for name, array in zip(self._inputs, inputs, strict=True):
            binding.bind_input(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        for name, array in zip(self._outputs, outputs, strict=True):
            binding.bind_output(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        run = self._session.run_with_iobinding

        def run_bound() -> None:
            try:
                run(binding)
            except Exception as error:
                raise BackendError(f"the model failed: {error}") from error

        return run_bound

    def _check_names(self) -> None:
        have_inputs = {each.name for each in self._session.get_inputs()}
        have_outputs = {each.name for each in self._session.get_outputs()}
        if have_inputs != set(self._inputs) or not set(self._outputs) <= have_outputs:
            raise BackendError(
                f"the graph's inputs {sorted(have_inputs)} and outputs {sorted(have_outputs)} are "
                f"not those of the manifest, {self._inputs} and {self._outputs}"
            )
