"""The engines that a variant can run in: which are installed here, and how each is opened."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from edgeconsole.bundle import Manifest
from edgeconsole.errors import BackendError
from edgeconsole.runtime.backends.base import Backend

ONNXRUNTIME: Final = "onnxruntime"
TORCH: Final = "torch"
"""Runs the exported program without any compilation: what all speed-ups are compared with."""
_PACKAGES: Final = {ONNXRUNTIME: "onnxruntime", TORCH: "torch"}


def installed_engines() -> dict[str, str]:
    """Return the versions of the engines that are installed, by name; imports none of them."""
    found = {}
    for engine, package in _PACKAGES.items():
        try:
            found[engine] = version(package)
        except PackageNotFoundError:
            continue
    return found


def open_engine(engine: str, path: Path, manifest: Manifest, *, threads: int) -> Backend:
    """Load a model file in an engine; raises `BackendError` if the engine refuses or is missing."""
    match engine:
        case "onnxruntime":
            from edgeconsole.runtime.backends.onnx import OnnxBackend

            return OnnxBackend(path, manifest, intra_op_threads=threads)
        case "torch":
            from edgeconsole.runtime.backends.torch_eager import TorchBackend

            return TorchBackend(path, threads=threads)
    raise BackendError(f"there is no engine {engine!r}", hint=f"engines: {sorted(_PACKAGES)}")
