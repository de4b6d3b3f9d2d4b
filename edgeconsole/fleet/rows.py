"""How samples, events and rollups lie in the tables of `history.db`. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from edgeconsole.fleet.schema import ROLLUP_COLUMNS
from edgeconsole.protocol.figures import Figures
from edgeconsole.protocol.rollups import HOUR_S, Rollup
from edgeconsole.protocol.telemetry import DeviceEvent

Row = tuple[str | int | float | None, ...]

FIGURES: Final = (
    *("time_unix_s", "seq", "state", "model", "version", "variant", "deadline_ms"),
    *("p50_ms", "p95_ms", "p99_ms", "rate_per_s", "requests_total", "answered_total"),
    *("refused_total", "failed_total", "late_total", "temp_c", "temp_quality", "power_w"),
    *("power_quality", "cpu_percent", "memory_percent", "degraded_total"),
)


def _insert(table: str, columns: Sequence[str], conflict: str = "OR IGNORE") -> str:
    marks = ",".join("?" * len(columns))
    return f"INSERT {conflict} INTO {table} ({','.join(columns)}) VALUES ({marks})"  # noqa: S608


INSERT_SAMPLE: Final = _insert("sample", ("device_id", "boot_id", *FIGURES, "rss_bytes"))
INSERT_EVENT: Final = _insert(
    "event", ("device_id", "boot_id", "seq", "time_unix_s", "severity", "kind", "message")
)
INSERT_TRANSITION: Final = _insert(
    "transition", ("device_id", "boot_id", "seq", "time_unix_s", "model", "detail")
)
INSERT_THERMAL: Final = _insert(
    "thermal_transition", ("device_id", "boot_id", "seq", "time_unix_s", "detail")
)
INSERT_OLD_HOUR: Final = _insert("old_hour", ("device_id", "start_unix_s"))
INSERT_OLD_FLEET_MINUTE: Final = _insert("old_fleet_minute", ("start_unix_s",))
SELECT_FIGURES: Final = f"SELECT boot_id, {','.join(FIGURES)} FROM sample "  # noqa: S608
SELECT_ROLLUP: Final = f"SELECT start_unix_s, {','.join(ROLLUP_COLUMNS)} FROM "  # noqa: S608


def put_rollup(table: str) -> str:
    """Return the statement that puts a rollup in place of one that knows of fewer samples."""
    columns = ("device_id", "start_unix_s", *ROLLUP_COLUMNS)
    changes = ", ".join(f"{column} = excluded.{column}" for column in ROLLUP_COLUMNS)
    return (
        f"{_insert(table, columns, '')} ON CONFLICT (device_id, start_unix_s) DO UPDATE SET {changes} "
        "WHERE excluded.samples >= samples"
    )


PUT_MINUTE: Final = put_rollup("m1")
PUT_HOUR: Final = put_rollup("h1")


def sample_row(device_id: str, boot_id: str, figures: Figures, rss_bytes: int | None = None) -> Row:
    """Return the row of a sample; who heard it live also knows the memory of the model's workers."""
    return (
        device_id,
        boot_id,
        figures.time_unix_s,
        figures.seq,
        figures.state.value,
        figures.model,
        figures.version,
        figures.variant,
        figures.deadline_ms,
        figures.p50_ms,
        figures.p95_ms,
        figures.p99_ms,
        figures.rate_per_s,
        figures.requests_total,
        figures.answered_total,
        figures.refused_total,
        figures.failed_total,
        figures.late_total,
        figures.temp_c,
        figures.temp_quality.value,
        figures.power_w,
        figures.power_quality.value,
        figures.cpu_percent,
        figures.memory_percent,
        figures.degraded_total,
        rss_bytes,
    )


def figures_in(row: Sequence[object]) -> tuple[str, Figures]:
    """Return the start of the agent and the sample in a row of `SELECT_FIGURES`."""
    fields = dict(zip(FIGURES, row[1:], strict=True))
    return str(row[0]), msgspec.convert(fields, Figures, strict=False)


def event_row(device_id: str, event: DeviceEvent) -> Row:
    """Return the row of an event."""
    return (
        device_id,
        event.boot_id,
        event.seq,
        event.time_unix_s,
        event.severity.value,
        event.kind,
        event.message,
    )


def transition_row(device_id: str, event: DeviceEvent) -> Row | None:
    """Return the row of an event's transition, if it has one."""
    moved = event.transition
    if moved is None:
        return None
    detail = msgspec.json.encode(moved).decode()
    return (device_id, event.boot_id, event.seq, moved.time_unix_s, moved.model, detail)


def thermal_row(device_id: str, event: DeviceEvent) -> Row | None:
    """Return likewise the row of an event's thermal transition."""
    moved = event.thermal
    if moved is None:
        return None
    detail = msgspec.json.encode(moved).decode()
    return (device_id, event.boot_id, event.seq, moved.time_unix_s, detail)


def rollup_row(device_id: str, start_unix_s: float, rollup: Rollup) -> Row:
    """Return the row of a minute or an hour."""
    return (device_id, int(start_unix_s), *msgspec.structs.astuple(rollup))


def rollup_in(row: Sequence[object]) -> tuple[int, Rollup]:
    """Return the beginning and the rollup in a row of `SELECT_ROLLUP`."""
    fields = dict(zip(ROLLUP_COLUMNS, row[1:], strict=True))
    return int(str(row[0])), msgspec.convert(fields, Rollup, strict=False)


def hour_of(time_unix_s: float) -> int:
    """Return the beginning of a moment's hour."""
    return int(time_unix_s // HOUR_S) * HOUR_S
