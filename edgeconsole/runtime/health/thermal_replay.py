"""`edgeconsole-agent thermal --replay FILE`: a recorded run through the real policy.

A CSV file with a head: `t_s` and `temp_c` are needed; `passive_c`, `critical_c`, `vendor_c`,
`throttle_count`, `throttled`, `under_voltage`, `power_w`, `load`, `cpu_pct` and `rate_per_s` are
used where they are, other columns are passed over. An empty field is a reading that failed. Rows
farther apart than a second are interpolated, as the agent would have read once a second; a gap of
more than five minutes stays a gap.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from edgeconsole.errors import ConfigError
from edgeconsole.protocol.failsafe import Condition
from edgeconsole.protocol.thermal import ThermalAllowance, ThermalState
from edgeconsole.runtime.health.thermal_limits import ThermalLimits
from edgeconsole.runtime.health.thermal_policy import decide
from edgeconsole.runtime.health.thermal_reading import ThermalReading
from edgeconsole.runtime.health.thermal_state import ThermalPolicyState
from edgeconsole.runtime.health.thermal_steps import STEPS
from edgeconsole.text import printable

Row = tuple[float, ThermalReading]
_NUMBERS: Final = ("temp_c", "passive_c", "critical_c", "vendor_c", "power_w", "load", "rate_per_s")
_BITS: Final = ("throttled", "under_voltage")
_MAX_BYTES: Final = 64 << 20
_LONGEST_GAP_S: Final = 300.0


class Move(msgspec.Struct, frozen=True, omit_defaults=True):
    """One change of the state or the step; `conditions` are those that were met."""

    at_s: float
    before: ThermalState
    after: ThermalState
    step: int
    cause: str
    reason: str
    temp_c: float | None
    limit_c: float | None
    allowance: ThermalAllowance
    conditions: tuple[Condition, ...]
    warnings: tuple[str, ...] = ()


class Summary(msgspec.Struct, frozen=True):
    """What a whole run came to; seconds by state."""

    seconds: float
    transitions: int
    states_s: dict[str, float]
    most_c: float | None
    limit_c: float | None
    limit_source: str


def read_trace(file: Path) -> list[Row]:
    """Return a file's rows; raises `ConfigError` that names the line that is wrong."""
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise ConfigError(f"{file}: larger than {_MAX_BYTES >> 20} MiB", hint="cut it in parts")
        with file.open(newline="", encoding="utf-8") as lines:
            table = csv.DictReader(lines)
            missing = {"t_s", "temp_c"} - set(table.fieldnames or ())
            if missing:
                raise ConfigError(
                    f"{file}:1: the head has no {' and no '.join(sorted(missing))}",
                    hint="write t_s,temp_c in the first line",
                )
            rows = [_row(file, table.line_num, fields) for fields in table]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(f"{file}: cannot be read: {why}") from error
    for number, (before, after) in enumerate(itertools.pairwise(rows), 3):
        if after[0] <= before[0]:
            raise ConfigError(f"{file}:{number}: t_s goes back to {after[0]:g}", hint="sort by t_s")
    return rows


def each_second(rows: Iterable[Row]) -> Iterator[Row]:
    """Return what a reading once a second would have given."""
    last: Row | None = None
    for row in rows:
        if last is not None and row[0] - last[0] <= _LONGEST_GAP_S:
            yield from _between(last, row)
        yield row
        last = row


def replay(rows: Iterable[Row], limits: ThermalLimits) -> Iterator[Move | Summary]:
    """Return the moves that readings lead to, and at the end what they came to."""
    state = ThermalPolicyState()
    spent: dict[str, float] = {}
    begun_s = last_s = most_c = None
    moves = 0
    for at_s, reading in rows:
        before = state
        begun_s = at_s if begun_s is None else begun_s
        if last_s is not None:
            spent[before.state] = spent.get(before.state, 0.0) + at_s - last_s
        last_s = at_s
        decision = decide(before, reading, at_s, limits)
        state = decision.state
        if decision.temp_c is not None:
            most_c = decision.temp_c if most_c is None else max(most_c, decision.temp_c)
        if state.state is before.state and state.step == before.step:
            continue
        moves += state.state is not before.state and before.cause != ""
        yield Move(
            at_s=at_s,
            before=before.state,
            after=state.state,
            step=state.step,
            cause=state.cause if state.state is not before.state else "still",
            reason=state.reason,
            temp_c=decision.temp_c,
            limit_c=state.limit_c,
            allowance=decision.allowance,
            conditions=tuple(
                each
                for each in decision.conditions
                if each.met and not (each.name.startswith("cool_") and state.cause != "cooled")
            ),
            warnings=decision.warnings,
        )
    yield Summary(
        seconds=0.0 if begun_s is None or last_s is None else last_s - begun_s,
        transitions=moves,
        states_s=spent,
        most_c=most_c,
        limit_c=state.limit_c,
        limit_source=state.limit_source,
    )


def main(arguments: list[str]) -> int:
    """Run the verb `thermal`; raises `ConfigError`."""
    parser = argparse.ArgumentParser(
        prog="edgeconsole-agent thermal",
        description="Run a recorded temperature through the thermal policy and print what it does.",
    )
    add = parser.add_argument
    add("--replay", type=Path, required=True, metavar="FILE", help="a CSV file with t_s and temp_c")
    add("--limit", type=float, metavar="C", help="the limit, as max_temp_c in device.toml")
    add("--warn", type=float, metavar="C", help="from where on it is warm, as warn_temp_c")
    add("--power-budget", type=float, metavar="W", help="as power_budget_w in device.toml")
    add("--json", action="store_true", help="print JSON, one object a line")
    options = parser.parse_args(arguments)
    limits = ThermalLimits(
        configured_c=options.limit, warn_c=options.warn, power_budget_w=options.power_budget
    )
    for said in replay(each_second(read_trace(options.replay)), limits):
        print(msgspec.json.encode(said).decode() if options.json else _line(said))  # noqa: T201
    return 0


def _row(file: Path, number: int, fields: dict[str, str | None]) -> Row:
    def of(name: str) -> float | None:
        text = (fields.get(name) or "").strip()
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise ConfigError(
                f"{file}:{number}: {name} is {text!r}, not a number",
                hint="leave it empty where the reading failed",
            )
        return value

    at_s = of("t_s")
    if at_s is None:
        raise ConfigError(f"{file}:{number}: t_s is empty", hint="every row needs its time")
    numbers = {name: of(name) for name in _NUMBERS}
    cpu_percent, count = of("cpu_pct"), of("throttle_count")
    if numbers["load"] is None and cpu_percent is not None:
        numbers["load"] = cpu_percent / 100.0
    fields_known: dict[str, object] = {
        **numbers,
        "throttle_count": None if count is None else int(count),
        **{name: bool(of(name)) for name in _BITS},
        "reason": "" if numbers["temp_c"] is not None else "the trace has no temperature here",
    }
    return at_s, msgspec.convert(fields_known, ThermalReading)


def _between(last: Row, row: Row) -> Iterator[Row]:
    (start_s, before), (end_s, after) = last, row
    for second in range(1, math.ceil(end_s - start_s)):
        share = second / (end_s - start_s)
        mixed: dict[str, float | None] = {}
        for name in ("temp_c", "power_w", "load", "rate_per_s"):
            low, high = getattr(before, name), getattr(after, name)
            mixed[name] = None if low is None or high is None else low + share * (high - low)
        yield start_s + second, msgspec.structs.replace(before, **mixed)


def _line(said: Move | Summary) -> str:
    if isinstance(said, Summary):
        shares = ", ".join(f"{state} {spent:.0f} s" for state, spent in said.states_s.items())
        most = "no temperature" if said.most_c is None else f"at most {said.most_c:.1f} °C"
        limit = said.limit_source
        if said.limit_c is not None:
            limit = f"limit {said.limit_c:.1f} °C ({said.limit_source})"
        return printable(
            f"{said.seconds:.0f} s, {said.transitions} transitions: {shares}; {most}; {limit}"
        )
    met = ", ".join(each.name for each in said.conditions)
    temp = "      n/a" if said.temp_c is None else f"{said.temp_c:6.1f} °C"
    move = f"{said.before} → {said.after}" if said.before is not said.after else f"{said.after}"
    line = f"{said.at_s:9.1f} s {temp}  {move}, step {said.step}: {STEPS[said.step]}"
    line += f"  ({said.cause}: {said.reason})" if said.cause != "still" else ""
    return printable(line + (f"  [{met}]" if met else ""))
