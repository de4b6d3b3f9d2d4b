"""Running an ONNX file, or a bundle in its own engine; numpy in, numpy out, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnxruntime as ort

from edgeconsole.bundle.folder import Bundle
from edgeconsole.bundle.selfcheck import compare_outputs
from edgeconsole.errors import BackendError, BundleError
from edgeconsole.protocol.tensors import Array
from edgeconsole.runtime.backends.opening import open_engine


class OnnxModel:
    """One ONNX model on one CPU thread."""

    def __init__(self, model: bytes | Path) -> None:
        """Load a model; raises `BundleError` if ONNX Runtime refuses it."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4  # its errors arrive as exceptions
        source = model if isinstance(model, bytes) else str(model)
        try:
            self._session = ort.InferenceSession(
                source, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's types share no public base
            raise BundleError(f"ONNX Runtime refuses the model: {error}") from error
        self.inputs = tuple(item.name for item in self._session.get_inputs())
        self.outputs = tuple(item.name for item in self._session.get_outputs())

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs by name; raises `BundleError` if the run fails."""
        try:
            found = self._session.run(None, dict(inputs))
        except Exception as error:  # as above
            raise BundleError(f"ONNX Runtime cannot run the model: {error}") from error
        return dict(zip(self.outputs, found, strict=True))


def check_golden(bundle: Bundle) -> None:
    """Run a bundle's model on its golden inputs; raises `BundleError` if the outputs differ."""
    inputs, expected = bundle.golden()
    manifest = bundle.manifest
    path = bundle.file_path(manifest.model_file)
    try:
        model = open_engine(manifest.execution, path, manifest, threads=1)
        outputs = model.run([inputs[spec.name] for spec in manifest.inputs])
    except BackendError as error:
        raise BundleError(f"{bundle.path}: {error.message}", hint=error.hint) from error
    got = dict(zip((spec.name for spec in manifest.outputs), outputs, strict=True))
    reason = compare_outputs(expected, got, manifest.execution.precision)
    if reason is not None:
        raise BundleError(
            f"{bundle.path}: the model does not reproduce its golden outputs: {reason}",
            hint="pack the model again",
        )
