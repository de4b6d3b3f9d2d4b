"""`edgeconsole history`: what the console has stored of a device, or of the fleet, to look at or take away."""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from edgeconsole.commands.devices import known_devices
from edgeconsole.durations import parse_duration
from edgeconsole.errors import ConfigError
from edgeconsole.fleet import database, past
from edgeconsole.fleet.inventory import find_fleet_file, load_inventory
from edgeconsole.fleet.past import Resolution
from edgeconsole.fleet.rows import Row
from edgeconsole.protocol.backlog import Gap
from edgeconsole.text import printable

_SHOWN = (
    *("samples", "devices", "rate_per_s", "p50_ms", "p95_ms", "p99_ms", "p99_high_ms"),
    *("temp_c", "temp_high_c", "power_w", "cpu_percent", "failed", "late", "degraded"),
)
"""The columns that a terminal has room for; an export has all."""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the verb."""
    parser = verbs.add_parser(
        "history",
        help="print or export what is stored of a device, or of the fleet",
        description="Print what the console has stored of a device: samples, minutes or hours. "
        "Without a device: the fleet's minutes. Times are by the device's clock.",
    )
    parser.add_argument("device", metavar="DEVICE", nargs="?", help="a device of the fleet file")
    parser.add_argument(
        "--since", default="1h", help="how far back, like 30m, 24h, 7d (default: 1h)"
    )
    parser.add_argument("--until", default="0s", help="up to how long ago (default: now)")
    parser.add_argument(
        "--resolution",
        choices=("auto", *(each.value for each in Resolution)),
        default="auto",
        help="samples, minutes or hours (default: as the length of the time demands)",
    )
    parser.add_argument(
        "--export", type=Path, metavar="FILE", help="write all columns to a .csv, .json or .parquet"
    )
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print or export the rows."""
    inventory = load_inventory(find_fleet_file(options.fleet))
    since_s, until_s = parse_duration(options.since), parse_duration(options.until)
    if until_s >= since_s:
        raise ConfigError("--until must be more recent than --since", hint="like --since 24h")
    if options.export is not None:
        _check_format(options.export)
    now_unix_s = time.time()
    window = (now_unix_s - since_s, now_unix_s - until_s)
    database.make(inventory.history_path)
    gaps: list[Gap] = []
    if options.device is None:
        resolution = Resolution.MINUTE
        columns, rows = past.fleet_table(inventory.history_path, inventory.spec.name, window)
    else:
        (device,) = known_devices(inventory, [options.device])
        resolution = (
            past.resolution_for(since_s - until_s)
            if options.resolution == "auto"
            else Resolution(options.resolution)
        )
        columns, rows = past.table(inventory.history_path, device.id, window, resolution)
        gaps = past.gaps(inventory.history_path, device.id, window)
    if options.export is not None:
        export(options.export, columns, rows)
    said = {
        "device": options.device,
        "resolution": resolution.value,
        "rows": len(rows) if options.export is not None else past.as_objects(columns, rows),
        "gaps": msgspec.to_builtins(gaps),
        "export": None if options.export is None else str(options.export),
    }
    if options.json:
        print(json.dumps(said))
    elif options.export is not None:
        print(printable(f"{len(rows)} rows ({resolution.value}) in {options.export}"))
    else:
        _print(columns, rows, gaps)
    return 0


def _check_format(file: Path) -> None:
    """Refuse a format that nobody can write, before anything is read."""
    if file.suffix not in (".csv", ".json", ".parquet"):
        raise ConfigError(
            f"{file}: cannot be told what to write", hint="end it in .csv, .json or .parquet"
        )
    if file.suffix == ".parquet":
        try:
            import pyarrow as pa  # noqa: F401
        except ImportError as error:
            raise ConfigError(
                f"{file}: Parquet needs pyarrow", hint="pip install 'edgeconsole[parquet]'"
            ) from error


def export(file: Path, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Write rows to a file whose ending says how; raises `ConfigError` if it cannot be written."""
    try:
        if file.suffix == ".csv":
            with file.open("w", newline="", encoding="utf-8") as out:
                writer = csv.writer(out)
                writer.writerow(columns)
                writer.writerows(rows)
        elif file.suffix == ".json":
            with file.open("w", encoding="utf-8") as out:
                json.dump(past.as_objects(columns, rows), out)
        else:
            import pyarrow as pa
            from pyarrow import parquet

            by_column = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
            parquet.write_table(
                pa.table([pa.array(each) for each in by_column], names=list(columns)), file
            )
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written: {error.strerror}") from error


def _print(columns: Sequence[str], rows: Sequence[Row], gaps: Sequence[Gap]) -> None:
    places = [columns.index(name) for name in _SHOWN if name in columns]
    widths = [max(8, len(columns[place])) for place in places]
    titles = "  ".join(
        columns[place].rjust(width) for place, width in zip(places, widths, strict=True)
    )
    print(f"{'time':<19}  {titles}")
    for row in rows:
        values = "  ".join(
            _cell(row[place]).rjust(width) for place, width in zip(places, widths, strict=True)
        )
        print(f"{_when(row[0])}  {values}")
    for gap in gaps:
        print(
            printable(
                f"gap {_when(gap.since_unix_s)} to {_when(gap.until_unix_s)}: {gap.samples} samples "
                f"and {gap.events} events are lost: {gap.reason}"
            )
        )


def _cell(value: str | float | None) -> str:
    if value is None:
        return "n/a"
    return f"{value:g}" if isinstance(value, float | int) else value


def _when(unix_s: str | float | None) -> str:
    return f"{datetime.fromtimestamp(float(unix_s or 0.0)).astimezone():%Y-%m-%d %H:%M:%S}"
