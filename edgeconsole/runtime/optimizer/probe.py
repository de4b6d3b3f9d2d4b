"""A measuring process: one model in one engine, loaded as a worker loads it, timed and asked.

Started as `python -m edgeconsole.runtime.optimizer.probe`; imports only the engine it measures, so
that its memory is what the engine takes.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import numpy as np

from edgeconsole.bundle import Bundle, Manifest
from edgeconsole.bundle.tensorfile import encode_tensors
from edgeconsole.errors import BackendError
from edgeconsole.protocol.tensors import Array, TensorSpec, has_non_finite
from edgeconsole.runtime.backends.base import Backend
from edgeconsole.runtime.optimizer.child import serve
from edgeconsole.runtime.optimizer.engines import open_measured
from edgeconsole.runtime.optimizer.words import (
    Answer,
    Answered,
    DataSet,
    Open,
    Opened,
    Time,
    Timed,
    ToProbe,
)

_WARM_RUNS: Final = 3
_MOST_RUNS: Final = 20_000
_ROWS_AT_ONCE: Final = 16


class Probe:
    """Answers requests about the model it has opened."""

    def __init__(self) -> None:
        self._bundle: Bundle | None = None
        self._backend: Backend | None = None
        self._bound: tuple[list[Array], list[Array]] = ([], [])

    def handle(self, request: ToProbe) -> Opened | Timed | Answered:
        """Answer one request; raises what the engine raises."""
        match request:
            case Open():
                return self._open(request)
            case Time():
                return self._time(request)
            case Answer():
                return self._answer(request)

    def _open(self, request: Open) -> Opened:
        started_s = time.perf_counter()
        self._bundle = Bundle.open(request.bundle, on_device=True)
        manifest = self._bundle.manifest
        self._backend = open_measured(
            request.execution, Path(request.model), manifest, threads=request.threads
        )
        load_ms = (time.perf_counter() - started_s) * 1e3
        inputs, expected = self._bundle.golden()
        outputs = self._backend.run([inputs[spec.name] for spec in manifest.inputs])
        _check_form(manifest, expected, outputs)
        return Opened(load_ms)

    def _time(self, request: Time) -> Timed:
        run = self._ready_to_run()
        for _ in range(_WARM_RUNS):
            run()
        times_ms: list[float] = []
        clock = time.perf_counter_ns
        cpu_s = time.process_time()
        until_ns = clock() + int(request.budget_ms * 1e6)
        before_ns = clock()
        while (before_ns < until_ns or len(times_ms) < request.least_runs) and (
            len(times_ms) < _MOST_RUNS
        ):
            run()
            now_ns = clock()
            times_ms.append((now_ns - before_ns) / 1e6)
            before_ns = now_ns
        cpu_ms = (time.process_time() - cpu_s) * 1e3
        return Timed(times_ms, cpu_ms, peak_rss_bytes())

    def _ready_to_run(self) -> Callable[[], None]:
        """Return the call that is timed: one row, from memory to memory, as a worker does it."""
        backend, bundle = self._opened()
        golden, _ = bundle.golden()
        specs = bundle.manifest.inputs
        inputs = [_one_row(golden[spec.name], spec) for spec in specs]
        outputs = [np.array(each) for each in backend.run(inputs)]
        # The engine keeps addresses only.
        self._bound = inputs, outputs
        return backend.bind(inputs, outputs)

    def _answer(self, request: Answer) -> Answered:
        backend, bundle = self._opened()
        inputs = rows_of(bundle, request.data)
        rows = min(request.rows, len(next(iter(inputs.values()))))
        specs = bundle.manifest.inputs
        step = _ROWS_AT_ONCE if bundle.manifest.is_batched else max(1, specs[0].shape[0])
        parts: list[list[Array]] = []
        for start in range(0, rows, step):
            end = min(start + step, rows)
            part = [np.ascontiguousarray(inputs[spec.name][start:end]) for spec in specs]
            parts.append([np.array(each) for each in backend.run(part)])
        columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
        names = [spec.name for spec in bundle.manifest.outputs]
        for name, column in zip(names, columns, strict=True):
            if has_non_finite(column):
                raise BackendError(f"output {name!r} holds NaN or infinity")
        named = dict(zip(names, columns, strict=True))
        Path(request.out).write_bytes(encode_tensors(named))
        return Answered(rows, peak_rss_bytes())

    def _opened(self) -> tuple[Backend, Bundle]:
        if self._backend is None or self._bundle is None:
            raise BackendError("no model is open")
        return self._backend, self._bundle


def rows_of(bundle: Bundle, data: DataSet) -> Mapping[str, Array]:
    """Return a data set's inputs by name, `[rows, ...]`; raises `BackendError` without them."""
    match data:
        case DataSet.GOLDEN:
            found: Mapping[str, Array] | None = bundle.golden()[0]
        case DataSet.CALIBRATION:
            found = bundle.calibration()
        case DataSet.EVALUATION:
            pair = bundle.evaluation()
            found = None if pair is None else pair[0]
    if found is None:
        raise BackendError(f"the bundle has no {data} data")
    return found


def peak_rss_bytes() -> int:
    """Return this program's high-water mark; unlike `ru_maxrss`, not that of what it was forked from.

    Source: proc(5), `VmHWM`.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _one_row(array: Array, spec: TensorSpec) -> Array:
    return np.ascontiguousarray(array[:1]) if spec.is_batched else array


def _check_form(manifest: Manifest, expected: Mapping[str, Array], outputs: list[Array]) -> None:
    """Refuse outputs of another number, shape or type than the original's, and what is no number."""
    if len(outputs) != len(manifest.outputs):
        raise BackendError(f"it has {len(outputs)} outputs, not {len(manifest.outputs)}")
    for spec, output in zip(manifest.outputs, outputs, strict=True):
        want = expected[spec.name]
        if output.shape != want.shape or output.dtype != want.dtype:
            raise BackendError(
                f"output {spec.name!r} is {output.dtype} {list(output.shape)}, "
                f"not {want.dtype} {list(want.shape)}"
            )
        if has_non_finite(output):
            raise BackendError(f"output {spec.name!r} holds NaN or infinity")


if __name__ == "__main__":
    sys.exit(serve(ToProbe, Probe().handle))
