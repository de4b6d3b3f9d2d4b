"""The table: on the screen as it grows, and as a page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from benchmarks.machine import Machine
from faults.plant import DEADLINE_MS, RATE_PER_S, TOOK_MS
from faults.summary import SLACK_MS, Row

GOAL: Final = 0.999
"""The share of outcomes that must come in time while a core is free."""
_COLUMNS: Final = (
    "fault",
    "detection ms",
    "safe rung ms",
    "sent",
    "full",
    "degraded",
    "refused",
    "lost",
    "unlabelled",
    "in time",
    "flaps",
    "recovery s",
)


def in_time(rows: Sequence[Row]) -> float | None:
    """Return the share of outcomes in time while a core was free; `None` without any."""
    free = [row for row in rows if not row.takes_cores]
    sent = sum(row.sent for row in free)
    return sum(row.in_time for row in free) / sent if sent else None


def line(row: Row) -> str:
    """Return a row for the screen."""
    verdict = "ok" if not row.wrong else "FAILED: " + "; ".join(row.wrong)
    name, detection, safe, *counts, recovery = _cells(row)
    return (
        f"{name:40} detected {detection:>6} ms, safe {safe:>6} ms, "
        f"sent {' '.join(f'{each:>5}' for each in counts)}, back {recovery:>5} s  {verdict}"
    )


def page(
    rows: Sequence[Row],
    skipped: Sequence[tuple[str, str]],
    machine: Machine,
    command: str,
    seed: int,
) -> str:
    """Return the page `docs/faults.md`."""
    share = in_time(rows)
    lines = [
        "# Faults",
        "",
        "What the failsafe ladder's clients saw while a real agent was hurt. Written by",
        "",
        f"    {command}",
        "",
        (
            f"on {datetime.now(UTC):%Y-%m-%d}, commit {machine.commit}, seed {seed}; {machine.cpu}, "
            f"{machine.cores} cores, {machine.kernel}, Python {machine.python}."
        ),
        "",
        f"For each fault a fresh agent serves a model of about {TOOK_MS:.0f} ms with a fallback model and a declared",
        f"static answer; two connections ask {RATE_PER_S:.0f} times a second, text and binary in turn, with",
        f"`deadline_ms = {DEADLINE_MS:.0f}`. The values of an answer tell which model gave it, so a wrong label is seen;",
        "it counts as unlabelled, as does a second answer to one request. *Lost* requests had neither an",
        f"answer nor a refusal. *In time* is within deadline + {SLACK_MS:.0f} ms, measured by the client. *Detection* is when the",
        "agent told of the fault, *safe rung* when the first answer from a lower rung or refusal came (– where",
        "none was needed); *flaps* are falls after the first; *recovery* counts from the end of the fault until",
        "only full answers came.",
        "",
        "| " + " | ".join(_COLUMNS) + " |",
        "|---" + "|---:" * (len(_COLUMNS) - 1) + "|",
    ]
    lines += ["| " + " | ".join(_cells(row)) + " |" for row in rows]
    lines += [f"| {name} | skipped: {why} |" + " |" * (len(_COLUMNS) - 2) for name, why in skipped]
    lines += [
        "",
        f"While a core is free, {share:.3%} of answers and refusals came in time (goal: {GOAL:.1%}); rows that"
        if share is not None
        else "No fault left a core free; rows that",
        "take the cores are apart:",
        ", ".join(f"{row.fault}, {_share(row)}" for row in rows if row.takes_cores)
        or "none was run",
        "",
    ]
    notes = [f"- {row.fault}: {'; '.join(row.notes)}." for row in rows if row.notes]
    failed = [f"- **{row.fault}: {'; '.join(row.wrong)}.**" for row in rows if row.wrong]
    if notes:
        lines += ["## Notes", "", *notes, ""]
    if failed:
        lines += ["## Failed", "", *failed, ""]
    return "\n".join(lines)


def _cells(row: Row) -> list[str]:
    return [
        row.fault,
        _number(row.detection_ms, ".0f"),
        _number(row.safe_ms, ".0f"),
        *(
            str(each)
            for each in (
                row.sent,
                row.full,
                row.degraded,
                row.refused,
                row.lost,
                row.unlabelled,
            )
        ),
        _share(row),
        str(row.flaps),
        _number(row.recovery_s, ".1f"),
    ]


def _share(row: Row) -> str:
    return f"{row.in_time / row.sent:.2%}" if row.sent else "–"


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
