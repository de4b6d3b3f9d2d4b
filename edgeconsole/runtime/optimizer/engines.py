"""What the optimiser measures in: the engines that can serve, and torch, which is the baseline."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Final

from edgeconsole.bundle import Manifest
from edgeconsole.engines import Engine, Execution, installed_engines, installed_version
from edgeconsole.runtime.backends.base import Backend
from edgeconsole.runtime.backends.opening import open_engine

TORCH: Final = "torch"
"""Runs the exported program without any compilation: what all speed-ups are compared with."""


def measurable_engines(allowed: Collection[str] = ()) -> dict[str, str]:
    """Return the versions of what is installed, by name; of engines, only those that are allowed.

    ONNX Runtime always is: it runs the original.
    """
    found = {
        name: version
        for name, version in installed_engines().items()
        if not allowed or name in allowed or name == Engine.ONNXRUNTIME
    }
    torch = installed_version(TORCH)
    return {**found, TORCH: torch} if torch else found


def converter_version() -> str:
    """Return the version of what writes LiteRT's files; empty if it is not installed."""
    return installed_version("litert-torch") if installed_version("ai-edge-quantizer") else ""


def open_measured(
    execution: Execution | None, path: Path, manifest: Manifest, *, threads: int
) -> Backend:
    """Load a model file as `open_engine` does; `None`: an exported program, in torch."""
    if execution is None:
        from edgeconsole.runtime.backends.torch_eager import TorchBackend

        return TorchBackend(path, threads=threads)
    return open_engine(execution, path, manifest, threads=threads)
