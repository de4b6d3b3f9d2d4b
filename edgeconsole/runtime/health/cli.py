"""`edgeconsole-agent sensors`: everything the device, or a captured tree of one, says of itself."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Final

import msgspec

from edgeconsole.errors import ConfigError
from edgeconsole.protocol.sensors import SensorReport
from edgeconsole.runtime.config import load_settings
from edgeconsole.runtime.health.sensor_table import table_lines
from edgeconsole.runtime.health.sensors.lane import PROCFS, SYSFS, Lane, file_lane, machine_lanes
from edgeconsole.runtime.health.sensors.report import make_report
from edgeconsole.specs import HealthConfig

_DEFAULT_INTERVAL_S: Final = 1.0
_MAX_INTERVAL_S: Final = 3600.0
_NOWHERE: Final = Path("/nonexistent")


def main(arguments: list[str]) -> int:
    """Print the readings; returns the exit code. Raises `ConfigError`."""
    options = _parser().parse_args(arguments)
    report = take_report(
        options.sysfs_root,
        options.procfs_root,
        options.sysfs_root_after,
        interval_s=options.interval,
        config=HealthConfig()
        if options.config is None
        else load_settings(options.config).config.health,
    )
    if options.json:
        print(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())
    else:
        print("\n".join(table_lines(report)))
    return 0


def take_report(
    sysfs_root: Path | None = None,
    procfs_root: Path | None = None,
    sysfs_root_after: Path | None = None,
    *,
    interval_s: float | None = None,
    config: HealthConfig = HealthConfig(),  # noqa: B008 - immutable
) -> SensorReport:
    """Read once or twice, and return the readings of the last time.

    This machine is read twice, as energy counters need; of a captured tree the second time is
    `sysfs_root_after`, as of `interval_s` after the first. Raises `ConfigError`.
    """
    captured = sysfs_root is not None or procfs_root is not None
    if sysfs_root_after is not None and sysfs_root is None:
        raise ConfigError("--sysfs-root-after needs --sysfs-root", hint="name the first tree too")
    if interval_s is not None and not 0.0 < interval_s <= _MAX_INTERVAL_S:
        raise ConfigError(f"--interval must be above 0 and at most {_MAX_INTERVAL_S:g} s")
    for root in (sysfs_root, procfs_root, sysfs_root_after):
        if root is not None and not root.is_dir():
            raise ConfigError(f"{root} is not a folder", hint="name the copy of /sys or /proc")
    # What was captured elsewhere is not mixed with what this machine says.
    lanes = [
        file_lane(sysfs_root or _NOWHERE, procfs_root or _NOWHERE)
        if captured
        else file_lane(storage=Path("/")),
        *([] if captured else machine_lanes()),
    ]
    if sysfs_root_after is not None:
        files = lanes[0]
        files.clock = lambda: 0.0
        files.collect()
        files.sysfs_root, files.clock = sysfs_root_after, lambda: interval_s or _DEFAULT_INTERVAL_S
        files.collect()
        return make_report(files.readings, config).report
    _collect(lanes)
    if interval_s is not None or not captured:
        time.sleep(interval_s or _DEFAULT_INTERVAL_S)
        _collect(lanes)
    return make_report((each for lane in lanes for each in lane.readings), config).report


def _collect(lanes: list[Lane]) -> None:
    for lane in lanes:
        lane.collect()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edgeconsole-agent sensors",
        description="Print all sensors of this device, which of them the agent acts on, and why "
        "others have no value. docs/sensors.md describes the JSON.",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument(
        "--interval",
        type=float,
        metavar="S",
        help="seconds between the two readings that energy counters need (default: 1)",
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="device.toml",
        help="choose control sensors as its [health] says",
    )
    parser.add_argument(
        "--sysfs-root", type=Path, metavar="DIR", help=f"a captured tree in place of {SYSFS}"
    )
    parser.add_argument(
        "--procfs-root", type=Path, metavar="DIR", help=f"a captured tree in place of {PROCFS}"
    )
    parser.add_argument(
        "--sysfs-root-after",
        type=Path,
        metavar="DIR",
        help="the same tree captured --interval seconds later",
    )
    return parser
