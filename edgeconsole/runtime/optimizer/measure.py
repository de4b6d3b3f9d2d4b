"""Timing contenders side by side: each in a process of its own, in rounds A B C, A B C.

What drifts, such as heat or another program, hits all alike; a round beside a busy stranger is
repeated.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import psutil

from edgeconsole.runtime.optimizer.children import Child, ChildError, memory_left_bytes
from edgeconsole.runtime.optimizer.contender import Contender, Timing
from edgeconsole.runtime.optimizer.words import FromProbe, Open, Time

PROBE: Final = "edgeconsole.runtime.optimizer.probe"
OPEN_TIMEOUT_S: Final = 120.0
ROUNDS: Final = 9
_LEAST_ROUNDS: Final = 7
_LEAST_RUNS: Final = 5
_FOREIGN_SHARE: Final = 0.25
"""Of the machine: a round with more of it in other hands is repeated."""
_MOST_REPEATS: Final = 5
_SHORTEST_MS: Final = 15.0
_LONGEST_MS: Final = 150.0

Tell = Callable[[int, int], None]
"""Told the round and how many there are."""


def open_probe(bundle: Path, contender: Contender) -> tuple[Child, float]:
    """Start a contender's process; returns it and how long loading took in ms. Raises `ChildError`."""
    child = Child(PROBE, FromProbe, memory_bytes=memory_left_bytes(), threads=contender.threads)
    try:
        opened = child.ask(
            Open(str(bundle), str(contender.model), contender.execution, contender.threads),
            timeout_s=OPEN_TIMEOUT_S,
        )
    except ChildError:
        child.close()
        raise
    return child, float(opened.load_ms)


def time_together(
    bundle: Path, contenders: Sequence[Contender], *, budget_s: float, tell: Tell
) -> Mapping[str, Timing]:
    """Time contenders in rounds of about `budget_s` together; returns what each gave, by name."""
    found = {each.name: Timing() for each in contenders}
    with ExitStack() as stack:
        children: dict[str, Child] = {}
        for contender in contenders:
            timing = found[contender.name]
            try:
                child, timing.load_ms = open_probe(bundle, contender)
            except ChildError as error:
                timing.failure = error.message
                continue
            children[contender.name] = stack.enter_context(child)
        turn_ms = budget_s * 1e3 / max(1, len(children)) / ROUNDS
        turn_ms = min(max(turn_ms, _SHORTEST_MS), _LONGEST_MS)
        _run_rounds(children, found, turn_ms, time.monotonic() + 2 * budget_s, tell)
    return found


def _run_rounds(
    children: dict[str, Child],
    found: Mapping[str, Timing],
    turn_ms: float,
    until_s: float,
    tell: Tell,
) -> None:
    done = repeats = 0
    while done < ROUNDS and children:
        if done >= _LEAST_ROUNDS and time.monotonic() > until_s:
            break
        tell(done + 1, ROUNDS)
        watch = _ForeignLoad(children.values())
        turns: dict[str, list[float]] = {}
        for name, child in list(children.items()):
            try:
                timed = child.ask(
                    Time(turn_ms, _LEAST_RUNS), timeout_s=OPEN_TIMEOUT_S + turn_ms / 1e3
                )
            except ChildError as error:
                found[name].failure = error.message
                del children[name]
                continue
            turns[name] = timed.ms
            found[name].peak_rss_bytes = timed.peak_rss_bytes
        if watch.share() > _FOREIGN_SHARE and repeats < _MOST_REPEATS:
            repeats += 1
            continue
        done += 1
        for name, times_ms in turns.items():
            found[name].rounds_ms.append(statistics.median(times_ms))
            found[name].all_ms.extend(times_ms)


class _ForeignLoad:
    """How much of the machine's processor time others took since it was made."""

    def __init__(self, children: Iterable[Child]) -> None:
        self._children = list(children)
        self._started_s = time.monotonic()
        self._own_s = self._own()
        self._busy_s = _busy_s()

    def share(self) -> float:
        """Return it, from 0 to 1."""
        capacity_s = (time.monotonic() - self._started_s) * (psutil.cpu_count() or 1)
        foreign_s = (_busy_s() - self._busy_s) - (self._own() - self._own_s)
        return max(0.0, foreign_s / max(capacity_s, 1e-6))

    def _own(self) -> float:
        return sum(child.cpu_s() for child in self._children) + time.process_time()


def _busy_s() -> float:
    times = psutil.cpu_times()
    idle_s = times.idle + getattr(times, "iowait", 0.0)
    # Guests' time is in `user` already.
    return float(sum(times[:8]) - idle_s)
