"""A route's circuit breaker: when the primary gets no more requests, and when some again. Pure.

It counts calls in a window that is bounded in time and in number, and opens by the share of errors,
by the share of slow calls, or by bad calls in a row. After a pause it lets some trials through, each
with a time of its own; if all pass it closes, if one fails it opens for twice as long.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from edgeconsole.protocol.failsafe import BreakerPhase, Condition

_SLOTS: Final = 10
"""The window's resolution."""


@dataclass(frozen=True, slots=True)
class BreakerLimits:
    """When a breaker opens, and how it closes again."""

    window_s: float = 10.0
    window_calls: int = 100
    minimum_calls: int = 10
    """Below this, shares say nothing."""
    error_share: float = 0.5
    slow_share: float = 0.5
    bad_in_a_row: int = 5
    """Failed or slow; so many say enough without shares."""
    trials: int = 3
    trial_timeout_s: float = 2.0
    open_s: float = 1.0
    """The first pause; each one that follows within `calm_s` is twice as long."""
    most_open_s: float = 60.0
    calm_s: float = 60.0
    """Closed for so long, the pauses begin anew."""


@dataclass(frozen=True, slots=True)
class Calls:
    """How calls to the primary ended; the good ones came before the bad ones."""

    good: int = 0
    failed: int = 0
    slow: int = 0


@dataclass(frozen=True, slots=True)
class Trial:
    """One call that may close the breaker again; those of an earlier pause no longer count."""

    opening: int
    number: int


@dataclass(frozen=True, slots=True)
class _Slot:
    second: float
    good: int
    failed: int
    slow: int

    @property
    def calls(self) -> int:
        return self.good + self.failed + self.slow


@dataclass(frozen=True, slots=True)
class Breaker:
    """A breaker's state; times are monotonic seconds."""

    phase: BreakerPhase = BreakerPhase.CLOSED
    since_s: float = 0.0
    slots: tuple[_Slot, ...] = ()
    bad_in_a_row: int = 0
    openings: int = 0
    """Pauses in a row."""
    total_openings: int = 0
    started: tuple[tuple[Trial, float], ...] = ()
    """Trials under way and since when."""
    passed: int = 0


def observe(breaker: Breaker, calls: Calls, now_s: float, limits: BreakerLimits) -> Breaker:
    """Count calls, and open if they say so; what comes in while it is not closed says nothing new."""
    if breaker.phase is not BreakerPhase.CLOSED:
        return breaker
    bad = calls.failed + calls.slow
    breaker = replace(
        breaker,
        slots=_trim(_count(breaker.slots, calls, now_s, limits), now_s, limits),
        bad_in_a_row=bad + (0 if calls.good else breaker.bad_in_a_row),
    )
    if bad and any(condition.met for condition in conditions(breaker, now_s, limits)):
        return _open(breaker, now_s)
    return breaker


def tick(breaker: Breaker, now_s: float, limits: BreakerLimits) -> Breaker:
    """Let time do its part: a pause ends, a trial runs out of time, calm forgets."""
    match breaker.phase:
        case BreakerPhase.OPEN if now_s - breaker.since_s >= pause_s(breaker, limits):
            return replace(
                breaker, phase=BreakerPhase.HALF_OPEN, since_s=now_s, started=(), passed=0
            )
        case BreakerPhase.HALF_OPEN if any(
            now_s - at_s > limits.trial_timeout_s for _, at_s in breaker.started
        ):
            return _open(breaker, now_s)
        case BreakerPhase.CLOSED if breaker.openings and now_s - breaker.since_s >= limits.calm_s:
            return replace(breaker, openings=0)
        case _:
            return breaker


def start_trial(
    breaker: Breaker, now_s: float, limits: BreakerLimits
) -> tuple[Breaker, Trial | None]:
    """Let one call through as a trial, if there is one left."""
    begun = len(breaker.started) + breaker.passed
    if breaker.phase is not BreakerPhase.HALF_OPEN or begun >= limits.trials:
        return breaker, None
    trial = Trial(breaker.total_openings, begun)
    return replace(breaker, started=(*breaker.started, (trial, now_s))), trial


def end_trial(
    breaker: Breaker, trial: Trial, now_s: float, limits: BreakerLimits, *, passed: bool
) -> Breaker:
    """Count a trial's outcome: all passed closes, one failed opens again."""
    if breaker.phase is not BreakerPhase.HALF_OPEN or trial.opening != breaker.total_openings:
        return breaker
    if not passed:
        return _open(breaker, now_s)
    left = tuple(each for each in breaker.started if each[0] != trial)
    if len(left) == len(breaker.started):
        return breaker
    breaker = replace(breaker, started=left, passed=breaker.passed + 1)
    if breaker.passed < limits.trials:
        return breaker
    return Breaker(since_s=now_s, openings=breaker.openings, total_openings=breaker.total_openings)


def drop_trial(breaker: Breaker, trial: Trial) -> Breaker:
    """Forget a trial that ended without saying anything, such as one that was cancelled."""
    return replace(breaker, started=tuple(each for each in breaker.started if each[0] != trial))


def pause_s(breaker: Breaker, limits: BreakerLimits) -> float:
    """Return how long an open breaker stays open."""
    doublings = min(max(breaker.openings - 1, 0), 32)
    return min(limits.most_open_s, limits.open_s * 2.0**doublings)


def conditions(breaker: Breaker, now_s: float, limits: BreakerLimits) -> tuple[Condition, ...]:
    """Return what opens a closed breaker, measured now."""
    slots = _trim(breaker.slots, now_s, limits)
    calls = sum(slot.calls for slot in slots)
    failed = sum(slot.failed for slot in slots)
    slow = sum(slot.slow for slot in slots)
    enough = calls >= limits.minimum_calls
    detail = f"of {calls} calls" + ("" if enough else f", {limits.minimum_calls} needed")
    error_share = failed / calls if calls else 0.0
    slow_share = slow / calls if calls else 0.0
    row = breaker.bad_in_a_row
    return (
        Condition(
            "breaker_error_share",
            met=enough and error_share >= limits.error_share,
            measured=error_share,
            threshold=limits.error_share,
            detail=f"{failed} {detail}",
        ),
        Condition(
            "breaker_slow_share",
            met=enough and slow_share >= limits.slow_share,
            measured=slow_share,
            threshold=limits.slow_share,
            detail=f"{slow} {detail}",
        ),
        Condition(
            "breaker_bad_in_a_row",
            met=row >= limits.bad_in_a_row,
            measured=float(row),
            threshold=float(limits.bad_in_a_row),
            unit="calls",
        ),
    )


def _open(breaker: Breaker, now_s: float) -> Breaker:
    return replace(
        breaker,
        phase=BreakerPhase.OPEN,
        since_s=now_s,
        openings=breaker.openings + 1,
        total_openings=breaker.total_openings + 1,
        started=(),
        passed=0,
    )


def _count(
    slots: tuple[_Slot, ...], calls: Calls, now_s: float, limits: BreakerLimits
) -> tuple[_Slot, ...]:
    width_s = limits.window_s / _SLOTS
    if slots and now_s - slots[-1].second < width_s:
        last = slots[-1]
        grown = _Slot(
            last.second,
            last.good + calls.good,
            last.failed + calls.failed,
            last.slow + calls.slow,
        )
        return (*slots[:-1], grown)
    return (*slots, _Slot(now_s, calls.good, calls.failed, calls.slow))


def _trim(slots: tuple[_Slot, ...], now_s: float, limits: BreakerLimits) -> tuple[_Slot, ...]:
    """Drop what is too old, and what newer calls make superfluous."""
    slots = tuple(slot for slot in slots if now_s - slot.second < limits.window_s)
    total = sum(slot.calls for slot in slots)
    start = 0
    while start < len(slots) and total - slots[start].calls >= limits.window_calls:
        total -= slots[start].calls
        start += 1
    return slots[start:]
