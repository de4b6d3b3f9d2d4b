"""Opening a model file in an engine; imports the one engine that is asked for, when it is."""

from __future__ import annotations

from pathlib import Path
from typing import assert_never

from edgeconsole.bundle import Manifest
from edgeconsole.engines import Engine, Execution
from edgeconsole.runtime.backends.base import Backend


def open_engine(execution: Execution, path: Path, manifest: Manifest, *, threads: int) -> Backend:
    """Load a model file of the manifest's form.

    `execution` need not be the manifest's own. Raises `BackendError` if the engine is missing or
    refuses.
    """
    match execution.engine:
        case Engine.ONNXRUNTIME:
            from edgeconsole.runtime.backends.onnx import OnnxBackend

            return OnnxBackend(path, manifest, intra_op_threads=threads)
        case Engine.OPENVINO:
            from edgeconsole.runtime.backends.openvino import OpenVinoBackend

            return OpenVinoBackend(path, manifest, execution.precision, threads=threads)
        case Engine.LITERT:
            from edgeconsole.runtime.backends.litert import LiteRtBackend

            return LiteRtBackend(path, manifest, threads=threads)
        case _:
            assert_never(execution.engine)
