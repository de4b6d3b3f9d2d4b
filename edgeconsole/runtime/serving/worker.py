"""The worker process: one model, one blocking loop. Started by `process.py` as `python -m`.

It trusts nobody with its life: it ends when the supervisor does, leaves no core files, and gains
no rights.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from edgeconsole.bundle import Bundle
from edgeconsole.bundle.selfcheck import compare_outputs
from edgeconsole.errors import BackendError, EdgeConsoleError, RequestError
from edgeconsole.protocol.tensors import Array, TensorSpec, has_non_finite
from edgeconsole.runtime.backends.base import Backend
from edgeconsole.runtime.backends.opening import open_engine
from edgeconsole.runtime.linux import confine, set_nice
from edgeconsole.runtime.serving.channel import (
    Layout,
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
_KEPT_SHAPES: Final = 256
_CURVE_RUNS: Final = 3
_CURVE_BUDGET_MS: Final = 100.0
_THREADS_FROM_MS: Final = 2.0
"""Shorter inferences gain less from a second thread than its wake-up costs."""
_THREADS_GAIN: Final = 1.6


def main(arguments: list[str]) -> int:
    """Run the worker; arguments: socket fd, memory fd, bytes of one area of the memory, parent pid, nice value."""
    socket_fd, memory_fd, area_bytes, parent_pid, nice = (int(argument) for argument in arguments)
    _confine(parent_pid)
    channel = WorkerEnd(socket_fd, memory_fd, area_bytes)
    first = channel.receive()
    if not isinstance(first, Load):
        return 0
    try:
        model = ServedModel(first)
    except EdgeConsoleError as error:
        channel.send(NotLoaded(str(error)[:_MAX_REASON]))
        return 0
    set_nice(nice)
    channel.send(model.ready)
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


@dataclass(frozen=True, slots=True)
class _Prepared:
    run: Callable[[], None]
    checked: list[tuple[TensorSpec, Array]]
    """The outputs that could hold what is no answer."""
    outputs: Layout


class ServedModel:
    """A verified, self-tested model."""

    def __init__(self, load: Load) -> None:
        started_s = time.perf_counter()
        bundle = Bundle.open(Path(load.bundle), on_device=True)
        bundle.verify()
        self._manifest = bundle.manifest
        self._static = all(_is_static(spec) for spec in bundle.manifest.outputs)
        self._prepared: dict[tuple[Layout, int], _Prepared] = {}
        self._backend: Backend = _open(bundle, load.intra_op_threads or 1)
        load_ms = (time.perf_counter() - started_s) * 1e3
        started_s = time.perf_counter()
        golden = self._self_test(bundle)
        threads = load.intra_op_threads or self._choose_threads(bundle, golden, load.cores)
        curve = self._measure_curve(golden, load.max_rows) if load.measures else ()
        self_test_ms = (time.perf_counter() - started_s) * 1e3
        self.ready = Ready(load_ms, self_test_ms, threads, curve)

    def run(self, channel: WorkerEnd, message: Run) -> Ran:
        """Run one batch from memory to memory."""
        if not self._static:
            return self._run_free(channel, message)
        key = (message.inputs, message.seq & 1)
        prepared = self._prepared.get(key)
        if prepared is None:
            if len(self._prepared) >= _KEPT_SHAPES:
                self._prepared.clear()
            prepared = self._prepared[key] = self._prepare(channel, message)
        started_s = time.perf_counter()
        prepared.run()
        infer_ms = (time.perf_counter() - started_s) * 1e3
        for spec, output in prepared.checked:
            check_finite(spec, output)
        return Ran(message.seq, infer_ms, prepared.outputs)

    def _prepare(self, channel: WorkerEnd, message: Run) -> _Prepared:
        """Bind the engine to the places where tensors of these shapes lie."""
        inputs = message.inputs.views
        rows = inputs[0].shape[:1]
        specs = self._manifest.outputs
        layout = channel.outputs(message.seq).place(
            tuple(
                (rows + spec.shape[1:] if spec.is_batched else spec.shape, spec.datatype.dtype)
                for spec in specs
            )
        )
        run = self._backend.bind(inputs, layout.views)
        checked = [
            (spec, output)
            for spec, output in zip(specs, layout.views, strict=True)
            if spec.datatype.is_float
        ]
        return _Prepared(run, checked, layout)

    def _run_free(self, channel: WorkerEnd, message: Run) -> Ran:
        """Run a model whose outputs' shapes are only known afterwards."""
        started_s = time.perf_counter()
        outputs = self._backend.run(message.inputs.views)
        infer_ms = (time.perf_counter() - started_s) * 1e3
        for spec, output in zip(self._manifest.outputs, outputs, strict=True):
            check_output(spec, output)
        return Ran(message.seq, infer_ms, channel.outputs(message.seq).write(outputs))

    def _self_test(self, bundle: Bundle) -> list[Array]:
        """Compare golden outputs with the model's; raises `BackendError` on any difference."""
        inputs, expected = bundle.golden()
        ordered = [inputs[spec.name] for spec in self._manifest.inputs]
        for _ in range(_WARM_RUNS):
            outputs = self._backend.run(ordered)
        names = [spec.name for spec in self._manifest.outputs]
        got = dict(zip(names, outputs, strict=True))
        reason = compare_outputs(expected, got, self._manifest.execution.precision)
        if reason is not None:
            raise BackendError(f"the golden self-test failed: {reason}")
        return ordered

    def _choose_threads(self, bundle: Bundle, golden: list[Array], cores: int) -> int:
        """Use all cores inside one inference only if that is worth what it takes from the rest."""
        one_ms = self._time_ms(golden)
        if cores < 2 or one_ms < _THREADS_FROM_MS:
            return 1
        alone, self._backend = self._backend, _open(bundle, cores)
        self._backend.run(golden)
        if self._time_ms(golden) * _THREADS_GAIN <= one_ms:
            return cores
        self._backend = alone
        return 1

    def _measure_curve(self, golden: list[Array], max_rows: int) -> tuple[tuple[int, float], ...]:
        """Time batches of 1, 2, 4 … rows, for as long as that stays short."""
        curve: list[tuple[int, float]] = []
        rows, spent_ms = 1, 0.0
        while rows <= max_rows and self._manifest.is_batched:
            batch = [np.resize(array, (rows, *array.shape[1:])) for array in golden]
            expected_ms = 2 * _CURVE_RUNS * (curve[-1][1] if curve else 0.0)
            if spent_ms + expected_ms > _CURVE_BUDGET_MS:
                break
            took_ms = self._time_ms(batch)
            spent_ms += took_ms * _CURVE_RUNS
            curve.append((rows, took_ms))
            rows *= 2
        return tuple(curve) or ((1, self._time_ms(golden)),)

    def _time_ms(self, inputs: list[Array]) -> float:
        times = []
        for _ in range(_CURVE_RUNS):
            started_s = time.perf_counter()
            self._backend.run(inputs)
            times.append(time.perf_counter() - started_s)
        return min(times) * 1e3


def _open(bundle: Bundle, threads: int) -> Backend:
    manifest = bundle.manifest
    path = bundle.file_path(manifest.model_file)
    return open_engine(manifest.execution, path, manifest, threads=threads)


def _is_static(spec: TensorSpec) -> bool:
    """Say whether an output's shape follows from the number of rows."""
    return all(dim >= 0 for dim in spec.shape[1:]) and (spec.shape[:1] != (-1,) or spec.is_batched)


def check_output(spec: TensorSpec, output: Array) -> None:
    """Raise `BackendError` if an output is not what the manifest promises."""
    if output.dtype != spec.datatype.dtype or not spec.fits(output.shape):
        got = f"{output.dtype} {list(output.shape)}"
        raise BackendError(
            f"output {spec.name!r} is {got}, the manifest says {spec.datatype} {list(spec.shape)}"
        )
    check_finite(spec, output)


def check_finite(spec: TensorSpec, output: Array) -> None:
    """Raise `BackendError` if an output holds what is no answer."""
    if has_non_finite(output):
        raise BackendError(f"output {spec.name!r} holds NaN or infinity")


def _confine(parent_pid: int) -> None:
    confine(parent_pid)
    # The operator's Ctrl-C is the supervisor's to handle: it drains, then ends us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
