"""The worker process: one model, one blocking loop. Started by `process.py` as `python -m`.

It trusts nobody with its life: it ends when the supervisor does, leaves no core files, and gains
no rights.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Final

from edgeconsole.bundle import Bundle
from edgeconsole.bundle.manifest import MODEL_ONNX
from edgeconsole.bundle.selfcheck import compare_outputs
from edgeconsole.errors import BackendError, EdgeConsoleError, RequestError
from edgeconsole.protocol.tensors import Array, TensorSpec, has_non_finite
from edgeconsole.runtime.backends.base import Backend
from edgeconsole.runtime.backends.onnx import OnnxBackend
from edgeconsole.runtime.linux import gain_no_privileges, signal_parent_death
from edgeconsole.runtime.serving.channel import (
    Load,
    NotLoaded,
    Ran,
    Ready,
    Run,
    RunFailed,
    Stop,
    WorkerEnd,
)

_WARM_RUNS: Final = 3
_MAX_REASON: Final = 400


def main(arguments: list[str]) -> int:
    """Run the worker; arguments: socket fd, memory fd, bytes of half the memory, parent pid."""
    socket_fd, memory_fd, half_bytes, parent_pid = (int(argument) for argument in arguments)
    _confine(parent_pid)
    channel = WorkerEnd(socket_fd, memory_fd, half_bytes)
    first = channel.receive()
    if not isinstance(first, Load):
        return 0
    try:
        model = ServedModel(first)
    except EdgeConsoleError as error:
        channel.send(NotLoaded(str(error)[:_MAX_REASON]))
        return 0
    channel.send(Ready(model.load_ms, model.self_test_ms))
    return _serve(channel, model)


def _serve(channel: WorkerEnd, model: ServedModel) -> int:
    while True:
        message = channel.receive()
        match message:
            case Run():
                try:
                    channel.send(model.run(channel, message))
                except (BackendError, RequestError) as error:
                    channel.send(RunFailed(message.seq, str(error)[:_MAX_REASON]))
            case None | Stop():
                return 0
            case _:
                return 2


class ServedModel:
    """A verified, self-tested model."""

    def __init__(self, load: Load) -> None:
        started = time.perf_counter()
        bundle = Bundle.open(Path(load.bundle))
        bundle.verify()
        self._manifest = bundle.manifest
        self._backend: Backend = OnnxBackend(
            bundle.file_path(MODEL_ONNX), bundle.manifest, intra_op_threads=load.intra_op_threads
        )
        self.load_ms = (time.perf_counter() - started) * 1e3
        started = time.perf_counter()
        self._self_test(bundle)
        self.self_test_ms = (time.perf_counter() - started) * 1e3

    def run(self, channel: WorkerEnd, message: Run) -> Ran:
        """Run one batch from memory to memory."""
        inputs = channel.inputs.read(message.inputs)
        started = time.perf_counter()
        outputs = self._backend.run(inputs)
        infer_ms = (time.perf_counter() - started) * 1e3
        for spec, output in zip(self._manifest.outputs, outputs, strict=True):
            check_output(spec, output)
        return Ran(message.seq, infer_ms, channel.outputs.write(outputs))

    def _self_test(self, bundle: Bundle) -> None:
        """Compare golden outputs with the model's; raises `BackendError` on any difference."""
        inputs, expected = bundle.golden()
        ordered = [inputs[spec.name] for spec in self._manifest.inputs]
        for _ in range(_WARM_RUNS):
            outputs = self._backend.run(ordered)
        names = [spec.name for spec in self._manifest.outputs]
        reason = compare_outputs(expected, dict(zip(names, outputs, strict=True)))
        if reason is not None:
            raise BackendError(f"the golden self-test failed: {reason}")


def check_output(spec: TensorSpec, output: Array) -> None:
    """Raise `BackendError` if an output is not what the manifest promises."""
    if output.dtype != spec.datatype.dtype or not spec.fits(output.shape):
        got = f"{output.dtype} {list(output.shape)}"
        raise BackendError(
            f"output {spec.name!r} is {got}, the manifest says {spec.datatype} {list(spec.shape)}"
        )
    if has_non_finite(output):
        raise BackendError(f"output {spec.name!r} holds NaN or infinity")


def _confine(parent_pid: int) -> None:
    signal_parent_death(signal.SIGKILL)
    gain_no_privileges()
    if os.getppid() != parent_pid:
        raise SystemExit(0)  # The supervisor ended before the death signal was set.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # The operator's Ctrl-C is the supervisor's to handle: it drains, then ends us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
