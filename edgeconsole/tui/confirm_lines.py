"""What the dialog that confirms an order says: what will happen, where, and what stands against it.

Pure; no Textual.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from typing import Final

from edgeconsole.durations import duration_text
from edgeconsole.fleet.blast import Blast, Effort
from edgeconsole.fleet.levels import Level
from edgeconsole.fleet.orders import THERMAL_KINDS, Intent, OrderKind, Outcome, Standing
from edgeconsole.tui import format as fmt
from edgeconsole.tui.glyphs import Glyphs
from edgeconsole.tui.runs import Line, crop

TITLES: Final = {
    OrderKind.FAILSAFE_ON: "Force the failsafe",
    OrderKind.FAILSAFE_OFF: "End the failsafe",
    OrderKind.FALLBACK_ON: "Force the fallback model",
    OrderKind.FALLBACK_OFF: "End the fallback",
    OrderKind.MAINTENANCE_ON: "Put into maintenance",
    OrderKind.MAINTENANCE_OFF: "End the maintenance",
    OrderKind.RELEASE: "Release",
    **dict.fromkeys(THERMAL_KINDS, "Set the thermal state"),
    OrderKind.THERMAL_RELEASE: "Release the thermal state",
}
_EFFECTS: Final = {
    OrderKind.FAILSAFE_ON: "The declared static answer is given; without one, a refusal.",
    OrderKind.FALLBACK_ON: "The fallback model answers; without one, what lies below it.",
    OrderKind.FAILSAFE_OFF: "A forced failsafe ends; what else is forced goes on.",
    OrderKind.FALLBACK_OFF: "A forced fallback ends; what else is forced goes on.",
    OrderKind.MAINTENANCE_OFF: "The maintenance ends; what else is forced goes on.",
    OrderKind.MAINTENANCE_ON: "What was accepted is finished; then every request is refused.",
    OrderKind.THERMAL_NOMINAL: "Nothing is held back, however hot it is, until it is critical.",
    OrderKind.THERMAL_WARM: "Jobs wait, batches are halved; no more than that until it is critical.",
    OrderKind.THERMAL_HOT: "Half of the usual rate at most; then fewer workers, a lighter model.",
    OrderKind.THERMAL_CRITICAL: "No model is asked: the static answer is given, or a refusal.",
    OrderKind.THERMAL_RELEASE: "A forced thermal state ends; the device's own policy decides.",
}
_RELEASED: Final = "Whatever rung was forced ends, latches included; the ladder decides."
_MOST_NAMES: Final = 6
_MOST_FORM: Final = 4
_HOW: Final = {
    Outcome.QUEUED: "it waits: ",
    Outcome.SENT: "sent: ",
    Outcome.REFUSED: "not done: ",
    Outcome.EXPIRED: "dropped: ",
}


def what(
    blast: Blast, model: str, queue_s: float, width: int, *, glyphs: Glyphs, hidden: int = 0
) -> list[Line]:
    """Return what would happen, on how many devices where, and what is to be known first.

    `hidden` of the devices are not on the screen behind: they do not pass its filter.
    """
    which = (f"   model {fmt.escape(model) or 'all'}", "text" if model else "muted")
    lines: list[Line] = [
        (*counted(blast), *(() if blast.kind in THERMAL_KINDS else (which,))),
        ((names(blast.devices), "muted"),),
        (),
    ]
    lines.append(((_EFFECTS.get(blast.kind, _RELEASED), "text"),))
    if hidden:
        lines.append(((f"{hidden} of them not in sight: they do not pass the filter", "warn"),))
    if blast.effort is Effort.NUMBER:
        lines.append(((f"This reaches {fmt.escape(blast.because)}.", "warn"),))
    lines += _against(blast, queue_s, glyphs)
    return [crop(line, width) for line in lines]


def _against(blast: Blast, queue_s: float, glyphs: Glyphs) -> list[Line]:
    """Return who is offline, lacks what is forced, or is held by somebody already."""
    lines = offline(blast, queue_s, glyphs)
    if blast.unheard:
        text = f"? {len(blast.unheard)} never said what they have: {names(blast.unheard)}"
        lines.append(((text, "unknown"),))
    for device, why in blast.lacking[:3]:
        lines.append(((f"{fmt.escape(device)} has none: {fmt.escape(why)}", "warn"),))
    if len(blast.lacking) > 3:
        lines.append(((f"… and {len(blast.lacking) - 3} more have none", "warn"),))
    for device, held in blast.held[:3]:
        ends = "is replaced" if blast.kind.lasts else "ends"
        text = f"{fmt.escape(device)}: {fmt.escape(held)} {ends}"
        lines.append(((text, "failsafe"),))
    if len(blast.held) > 3:
        lines.append(((f"… and {len(blast.held) - 3} more", "failsafe"),))
    return lines


def counted(blast: Blast) -> Line:
    """Return on how many devices at which sites it would be done."""
    count = len(blast.devices)
    where = ", ".join(f"{fmt.escape(site) or 'no site'} {number}" for site, number in blast.sites)
    return (f"{count:,} device{'' if count == 1 else 's'}", "strong"), (f"   {where}", "text")


def offline(blast: Blast, queue_s: float, glyphs: Glyphs) -> list[Line]:
    """Return who gets the order later, if anybody does."""
    if not blast.offline:
        return []
    text = (
        f"{len(blast.offline)} offline, queued for up to {duration_text(queue_s)}: "
        f"{names(blast.offline)}"
    )
    return [((f"{glyphs.shapes[Level.GONE]} ", "stale"), (text, "stale"))]


def names(devices: Sequence[str]) -> str:
    """Return the first few names, and how many more there are."""
    shown = ", ".join(fmt.cut(fmt.escape(name), 24) for name in devices[:_MOST_NAMES])
    more = len(devices) - _MOST_NAMES
    return f"{shown}, … {more:,} more" if more > 0 else shown


def missing(blast: Blast, reason: str, number: str) -> tuple[str, str]:
    """Return which field keeps the order from being given, and what to do; empty: none does."""
    if blast.effort is not Effort.KEY and not reason.strip():
        return "reason", f"say why: it reaches {fmt.escape(blast.because)}"
    if blast.effort is Effort.NUMBER and number.strip() != str(len(blast.devices)):
        return "number", f"type {len(blast.devices)}: it reaches {fmt.escape(blast.because)}"
    return "", ""


def form(line: str, width: int) -> list[Line]:
    """Return the order as one types it, over some lines if it must be."""
    text = ":" + fmt.escape(line)
    rows = textwrap.wrap(text, width, subsequent_indent="  ", break_on_hyphens=False)
    if len(rows) > _MOST_FORM:
        rows[_MOST_FORM - 1] += " …"
    return [crop(((row, "accent"),), width) for row in rows[:_MOST_FORM]]


def outcome_text(intent: Intent, standings: Sequence[Standing]) -> str:
    """Return in one line what became of an order, the worst in its own words."""
    counts = Counter(standing.outcome for standing in standings)
    told = intent.task is not None or intent.kind in THERMAL_KINDS
    if told and len(standings) == 1 and standings[0].detail:
        (only,) = standings
        return f"{only.order.device_id}: {_HOW.get(only.outcome, '')}{only.detail}"
    parts = ", ".join(f"{counts[each]} {each.value}" for each in Outcome if counts[each])
    worst = [each for each in standings if each.detail and each.outcome is not Outcome.ACKNOWLEDGED]
    worst.sort(key=lambda each: each.outcome is not Outcome.REFUSED)
    tail = f"; {worst[0].order.device_id}: {worst[0].detail}" if worst else ""
    return f"{intent.kind.value}: {parts}{tail}"
