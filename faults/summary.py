"""What one fault's outcomes come to. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from edgeconsole.protocol.inference import Rung
from edgeconsole.protocol.telemetry import DeviceEvent, Severity
from faults.load import End, Outcome
from faults.models import MODEL

SLACK_MS: Final = 2.0
"""How much later than its deadline an outcome may reach the client and still be in time."""
_SHOWN: Final = 3


@dataclass
class Row:
    """One fault in the table; times from the moment at which it began or ended."""

    fault: str
    detection_ms: float | None = None
    """Until the agent told of it; `None`: it told nothing, for there was nothing to tell."""
    safe_ms: float | None = None
    """Until the first answer from a lower rung, or refusal; `None`: none was needed."""
    sent: int = 0
    full: int = 0
    degraded: int = 0
    refused: int = 0
    lost: int = 0
    unlabelled: int = 0
    late: int = 0
    """Outcomes that came after deadline + slack."""
    flaps: int = 0
    """How often the route fell again after it had fallen."""
    recovery_s: float | None = None
    """From the end of the fault until only full answers came; `None`: it did not recover."""
    takes_cores: bool = False
    notes: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """What must not be; empty: passed."""

    @property
    def in_time(self) -> int:
        """Return how many outcomes came by deadline + slack."""
        return self.sent - self.lost - self.late


def summarise(
    fault: str,
    outcomes: Sequence[Outcome],
    events: Iterable[tuple[float, DeviceEvent]],
    *,
    begun_s: float,
    ended_s: float,
    deadline_ms: float,
) -> Row:
    """Count what came of the requests that were sent since a fault began."""
    row = Row(fault)
    since = [each for each in outcomes if each.sent_s >= begun_s]
    row.sent = len(since)
    row.full = sum(each.end is End.FULL for each in since)
    row.degraded = sum(each.end is End.DEGRADED for each in since)
    row.refused = sum(each.end is End.REFUSED for each in since)
    row.lost = sum(each.end is End.LOST for each in since)
    row.late = sum(
        each.end is not End.LOST and (each.done_s - each.sent_s) * 1e3 > deadline_ms + SLACK_MS
        for each in since
    )
    problems = [each.problem for each in outcomes if each.problem]
    row.unlabelled = len(problems)
    not_full = [each for each in since if each.end in (End.DEGRADED, End.REFUSED)]
    row.safe_ms = min(((each.done_s - begun_s) * 1e3 for each in not_full), default=None)
    told = [
        at_s
        for at_s, event in events
        if at_s >= begun_s and (event.severity is not Severity.INFO or event.transition is not None)
    ]
    row.detection_ms = min(((at_s - begun_s) * 1e3 for at_s in told), default=None)
    falls = [move for move in moves(events, begun_s) if move[1].depth > move[0].depth]
    row.flaps = sum(before.depth <= Rung.SHED.depth for before, _ in falls[1:])
    row.recovery_s = max(
        (each.done_s - ended_s for each in not_full if each.done_s > ended_s), default=0.0
    )
    row.wrong += _most(problems)
    if row.lost:
        row.wrong.append(f"{row.lost} requests lost")
    return row


def moves(events: Iterable[tuple[float, DeviceEvent]], since_s: float) -> list[tuple[Rung, Rung]]:
    """Return the moves of the route under test."""
    return [
        (event.transition.before, event.transition.after)
        for at_s, event in events
        if at_s >= since_s and event.transition is not None and event.transition.model == MODEL
    ]


def _most(problems: Sequence[str]) -> list[str]:
    """Return each kind of problem once, the most frequent first."""
    kinds = sorted(set(problems), key=problems.count, reverse=True)
    return [f"{problems.count(kind)} × {kind}" for kind in kinds[:_SHOWN]]
