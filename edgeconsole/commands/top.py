"""`edgeconsole top`: the fleet's state as text or JSON, for scripts and small terminals."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from typing import Final

import msgspec

from edgeconsole.fleet.inventory import find_fleet_file, load_inventory
from edgeconsole.fleet.levels import Freshness, Level
from edgeconsole.fleet.service import FleetService
from edgeconsole.fleet.store import DeviceView, FleetStore
from edgeconsole.protocol.telemetry import Reading
from edgeconsole.text import printable

_FIRST_SAMPLE_S: Final = 3.0
_EXIT_BY_LEVEL: Final = {Level.OK: 0, Level.WARNING: 1, Level.STALE: 1}
_PROBLEM_EXIT: Final = 2


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the verb."""
    parser = verbs.add_parser(
        "top",
        help="print the fleet's state",
        description="Print the fleet's state once a second. Exit code with --once: 0 all well, "
        "1 warnings, 2 a device is critical, in failsafe, gone or was not heard.",
    )
    parser.add_argument("--once", action="store_true", help="print once and exit")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--problems", action="store_true", help="only devices that are not ok")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Follow the fleet and print it."""
    return asyncio.run(_run(options))


async def _run(options: argparse.Namespace) -> int:
    inventory = load_inventory(find_fleet_file(options.fleet))
    async with FleetService(inventory) as service:
        await _first_samples(service.store)
        while True:
            views = sorted(service.store.devices(), key=lambda view: (view.level, view.id))
            shown = [view for view in views if not options.problems or view.level is not Level.OK]
            if options.json:
                print(json.dumps(fleet_json(service.store, shown)), flush=True)
            else:
                _print_table(shown)
            if options.once:
                return _exit_code(views)
            await asyncio.sleep(1.0)


async def _first_samples(store: FleetStore) -> None:
    """Wait until every device was heard, or for as long as is polite."""
    until_s = time.monotonic() + _FIRST_SAMPLE_S
    while time.monotonic() < until_s:
        if all(view.freshness is not Freshness.NEVER for view in store.devices()):
            return
        await asyncio.sleep(0.05)


def fleet_json(store: FleetStore, views: list[DeviceView]) -> dict[str, object]:
    """Return what `--json` prints; keys are stable, `null` is unknown."""
    return {
        "fleet": store.spec.name,
        "time_unix_s": round(time.time(), 3),
        "devices": [_device_json(view) for view in views],
    }


def _device_json(view: DeviceView) -> dict[str, object]:
    sample, active = view.sample, view.active
    return {
        "id": view.id,
        "site": view.site,
        "url": view.url,
        "level": view.level.name.lower(),
        "reason": view.level_reason,
        "freshness": view.freshness.value,
        "age_s": None if view.age_s is None else round(view.age_s, 3),
        "link": view.link.value,
        "link_reason": view.link_reason,
        "state": sample.state.value if sample else None,
        "model": active.model if active else None,
        "version": active.version if active else None,
        "variant": active.variant if active else None,
        "deadline_ms": active.deadline_ms if active else None,
        "p50_ms": active.p50_ms if active else None,
        "p95_ms": active.p95_ms if active else None,
        "p99_ms": active.p99_ms if active else None,
        "rate_per_s": sum(each.rate_per_s for each in sample.models) if sample else None,
        "temp_c": msgspec.to_builtins(sample.temp_c if sample else Reading(unit="°C")),
        "power_w": msgspec.to_builtins(sample.power_w if sample else Reading(unit="W")),
        "cpu_percent": sample.cpu_percent if sample else None,
        "memory_percent": sample.memory_percent if sample else None,
        "uptime_s": round(sample.uptime_s, 1) if sample else None,
        "models": msgspec.to_builtins(sample.models) if sample else [],
        "routes": msgspec.to_builtins(sample.routes) if sample else [],
        "orders_waiting": [
            {"line": each.order.line, "outcome": each.outcome.value, "detail": each.detail}
            for each in view.orders
        ],
    }


def _exit_code(views: list[DeviceView]) -> int:
    return max((_EXIT_BY_LEVEL.get(view.level, _PROBLEM_EXIT) for view in views), default=0)


def _print_table(views: list[DeviceView]) -> None:
    head = ("STATE", "DEVICE", "ACTIVE", "P50 ms", "P95 ms", "P99 ms", "BUDGET", "REQ/S", "°C", "W")
    rows = [head, *(_row(view) for view in views)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    for row in rows:
        cells = [
            cell.ljust(width) if column < 3 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())
    for view in views:
        if view.level_reason:
            print(f"{view.id}: {printable(view.level_reason)}", file=sys.stderr)
    sys.stdout.flush()


def _row(view: DeviceView) -> tuple[str, ...]:
    active, sample = view.active, view.sample
    rate = sum(each.rate_per_s for each in sample.models) if sample else None
    return (
        view.level.name.lower(),
        view.id,
        printable(f"{active.model}/{active.variant}") if active else "-",
        _number(active.p50_ms if active else None, 1),
        _number(active.p95_ms if active else None, 1),
        _number(active.p99_ms if active else None, 1),
        "-" if view.budget is None else f"{view.budget:.0%}",
        _number(rate, 1),
        _number(sample.temp_c.value if sample else None, 0),
        _number(sample.power_w.value if sample else None, 1),
    )


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
