"""The floor of every comparison: a model called in the process itself, on one thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.jobs import Bare, Outcome

_now_ns = time.perf_counter_ns


class BareModels:
    """Models that were called before, kept loaded."""

    def __init__(self) -> None:
        self._calls: dict[tuple[str, str, tuple[int, ...]], Callable[[], Any]] = {}

    def run(self, job: Bare) -> list[Outcome]:
        """Call a model for `seconds`; raises `ImportError` if its engine is not installed."""
        key = (job.engine, job.model, job.shape)
        call = self._calls.get(key)
        if call is None:
            prepare = _onnx_call if job.engine == "onnx" else _torch_call
            call = self._calls[key] = prepare(job)
        outcome = Outcome(seconds=job.seconds)
        from_ns = _now_ns() + int(job.warm_s * 1e9)
        while _now_ns() < from_ns:
            call()
        until_ns = from_ns + int(job.seconds * 1e9)
        before_ns = _now_ns()
        while before_ns < until_ns:
            call()
            now_ns = _now_ns()
            outcome.took_ns.append(now_ns - before_ns)
            before_ns = now_ns
        # Calls may be longer than what is left: the rate is over the time they really took.
        outcome.seconds = sum(outcome.took_ns) / 1e9
        return [outcome]


def onnx_session(path: Path) -> Any:
    """Open an ONNX file on one thread that does not spin, as the agent's workers do."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def sample_input(shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Return the input that all systems are asked with."""
    return np.full(shape, 0.5, np.float32)


def _onnx_call(job: Bare) -> Callable[[], Any]:
    session = onnx_session(Path(job.model))
    feed = {session.get_inputs()[0].name: sample_input(job.shape)}
    names = [each.name for each in session.get_outputs()]
    return lambda: session.run(names, feed)


def _torch_call(job: Bare) -> Callable[[], Any]:
    import torch

    from benchmarks.models import build

    torch.set_num_threads(1)
    module = build(job.model)
    example = torch.from_numpy(sample_input(job.shape))

    def call() -> Any:
        with torch.inference_mode():
            return module(example)

    return call
