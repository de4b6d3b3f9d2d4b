"""The rung `fallback`: which loaded model may answer in another's place, and what keeps it from that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edgeconsole.bundle import Manifest
from edgeconsole.engines import Engine
from edgeconsole.protocol.telemetry import ModelState
from edgeconsole.protocol.tensors import TensorSpec
from edgeconsole.runtime.failsafe.proof import Proof
from edgeconsole.runtime.serving.runner import ModelRunner

WORKER_BYTES: Final = {
    Engine.ONNXRUNTIME: 48 << 20,
    Engine.OPENVINO: 96 << 20,
    Engine.LITERT: 36 << 20,
}
"""What a worker needs beside its model: the interpreter, the engine, its part of shared memory."""
_MODEL_FACTOR: Final = 3
"""A model in memory by its file: the file, the engine's copy, room to compute."""


@dataclass(frozen=True, slots=True)
class Standby:
    """A model that can answer in another's place."""

    runner: ModelRunner
    proof: Proof
    order: tuple[int, ...] | None
    """Where its inputs are among the primary's; `None`: in the same order."""


def why_not(runner: ModelRunner, proof: Proof, now_s: float) -> str:
    """Return why a loaded model may not answer now; empty if it may."""
    key = runner.manifest.key
    if runner.state is not ModelState.READY:
        reason = f": {runner.reason}" if runner.reason else ""
        return f"{key} is {runner.state}{reason}"
    if not runner.workers_ready:
        return f"{key} has no worker now"
    down = proof.down(now_s)
    return f"{key}: {down}" if down else ""


def input_order(primary: Manifest, other: Manifest) -> tuple[int, ...] | None:
    """Return where a model's inputs are among the primary's; `None` if they are in the same order.

    Raises `ValueError` that says why the other model cannot take the primary's requests.
    """
    ours, theirs = _by_name(primary.inputs), _by_name(other.inputs)
    if ours != theirs:
        raise ValueError(f"{other.key} takes other inputs than {primary.key}")
    if _by_name(primary.outputs) != _by_name(other.outputs):
        raise ValueError(f"{other.key} gives other outputs than {primary.key}")
    names = [spec.name for spec in primary.inputs]
    order = tuple(names.index(spec.name) for spec in other.inputs)
    return None if order == tuple(range(len(names))) else order


def memory_needed(manifest: Manifest, limit_mb: int | None) -> int:
    """Return about how many bytes loading a model takes: its limit, or by the size of its file."""
    if limit_mb is not None:
        return limit_mb << 20
    model = manifest.file(manifest.model_file)
    return WORKER_BYTES[manifest.execution.engine] + _MODEL_FACTOR * (
        model.size if model is not None else 0
    )


def memory_forbids(needed_bytes: int, available_bytes: int, reserve_bytes: int) -> str:
    """Return why a fallback may not be loaded; empty if there is room."""
    if available_bytes - needed_bytes >= reserve_bytes:
        return ""
    return (
        f"memory forbids it: it needs about {needed_bytes >> 20} MiB, {available_bytes >> 20} MiB "
        f"are free and {reserve_bytes >> 20} MiB must stay free"
    )


def _by_name(specs: tuple[TensorSpec, ...]) -> dict[str, TensorSpec]:
    return {spec.name: spec for spec in specs}
