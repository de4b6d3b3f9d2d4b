"""`edgeconsole-agent ladder --replay FILE`: recorded or written evidence through the real function.

A written line needs only a time and what differs from a healthy primary with nothing below it:

    {"at_s": 0, "evidence": {"fallback_down": ""}}
    {"at_s": 5, "evidence": {"fallback_down": "", "primary_down": "its worker was ended by SIGKILL"}}
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from edgeconsole.errors import ConfigError
from edgeconsole.protocol.failsafe import Condition
from edgeconsole.protocol.inference import Rung
from edgeconsole.runtime.failsafe.ladder import LadderLimits, LadderState, decide, release
from edgeconsole.runtime.failsafe.recorder import Recorded
from edgeconsole.text import printable

MAX_LINE_BYTES: Final = 64 * 1024


class Step(msgspec.Struct, frozen=True):
    """One transition of a replay; `conditions` are those that were met."""

    at_s: float
    model: str
    before: Rung
    after: Rung
    cause: str
    reason: str
    conditions: tuple[Condition, ...]
    alarm: str


def read_trace(file: Path) -> Iterator[Recorded]:
    """Return a file's lines; raises `ConfigError` that names the line that is wrong."""
    decoder = msgspec.json.Decoder(Recorded)
    last_s: dict[str, float] = {}
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(iter(lambda: lines.readline(MAX_LINE_BYTES), b""), 1):
                if not line.strip():
                    continue
                try:
                    recorded = decoder.decode(line)
                except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
                    raise ConfigError(
                        f"{file}:{number}: {error}", hint='write {"at_s": 1.5, "evidence": {…}}'
                    ) from error
                if recorded.at_s < last_s.get(recorded.model, float("-inf")):
                    raise ConfigError(
                        f"{file}:{number}: at_s goes back to {recorded.at_s:g}",
                        hint="times of one model must not decrease",
                    )
                last_s[recorded.model] = recorded.at_s
                yield recorded
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error


def replay(trace: Iterable[Recorded], limits: LadderLimits) -> Iterator[Step]:
    """Return the transitions that evidence leads to, each model's route from the primary on."""
    states: dict[str, LadderState] = {}
    for line in trace:
        state = states.get(line.model) or LadderState(since_s=line.at_s)
        if line.released:
            state = release(state)
        decision = decide(state, line.evidence, line.at_s, limits)
        states[line.model] = decision.state
        if decision.rung is not state.rung:
            yield Step(
                at_s=line.at_s,
                model=line.model,
                before=state.rung,
                after=decision.rung,
                cause=decision.state.cause,
                reason=decision.state.reason,
                conditions=tuple(each for each in decision.conditions if each.met),
                alarm=decision.alarm,
            )


def main(arguments: list[str]) -> int:
    """Run the verb `ladder`; raises `ConfigError`."""
    parser = argparse.ArgumentParser(
        prog="edgeconsole-agent ladder",
        description="Run evidence through the failsafe ladder and print its transitions.",
    )
    add = parser.add_argument
    add("--replay", type=Path, required=True, metavar="FILE", help="evidence, a JSON object a line")
    add("--changes-per-hour", type=int, default=LadderLimits().changes_per_hour, metavar="N")
    add("--json", action="store_true", help="print JSON, one object a line")
    options = parser.parse_args(arguments)
    limits = LadderLimits(changes_per_hour=options.changes_per_hour)
    for step in replay(read_trace(options.replay), limits):
        print(msgspec.json.encode(step).decode() if options.json else _line(step))  # noqa: T201
    return 0


def _line(step: Step) -> str:
    name = f"{step.model}  " if step.model else ""
    met = ", ".join(each.name for each in step.conditions)
    line = f"{step.at_s:12.3f} s  {name}{step.before} → {step.after}  {step.cause}: {step.reason}"
    line += f"  [{met}]" if met else ""
    return printable(line + (f"  ALARM: {step.alarm}" if step.alarm else ""))
