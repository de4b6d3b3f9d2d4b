"""`edgeconsole alerts`: what is wrong now, and what was, as consoles have noticed it."""

from __future__ import annotations

import argparse
import json
import time
from datetime import datetime

import msgspec

from edgeconsole.durations import duration_text
from edgeconsole.fleet import database
from edgeconsole.fleet.alert_book import AlertBook, AlertRow
from edgeconsole.fleet.inventory import find_fleet_file, load_inventory
from edgeconsole.text import printable

EXIT_ALERTS = 1
_WATCHED_S = 30.0
"""A console that looked within this time still looks."""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the verb."""
    parser = verbs.add_parser(
        "alerts",
        help="print what is wrong, as a running console notices it",
        description="Print the alerts that go on, then those that are over. Alerts are noticed while "
        "a console runs; the last line says since when none did. Exit code 1: some go on.",
    )
    parser.add_argument("--open", action="store_true", help="only those that go on")
    parser.add_argument("--limit", type=int, default=200, help="rows at most (default: 200)")
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the alerts."""
    inventory = load_inventory(find_fleet_file(options.fleet))
    database.make(inventory.history_path)
    book = AlertBook(inventory.history_path)
    known = {device.id for device in inventory.spec.devices}
    found = book.rows(options.limit, only_open=options.open)
    rows = [row for row in found if row.device_id in known]
    looked_unix_s, now_unix_s = book.looked_unix_s(), time.time()
    if options.json:
        print(json.dumps({"alerts": msgspec.to_builtins(rows), "looked_unix_s": looked_unix_s}))
    else:
        for row in rows:
            print(printable(_line(row, now_unix_s)))
        if note := _watched(looked_unix_s, now_unix_s):
            print(note)
    return EXIT_ALERTS if any(row.until_unix_s is None for row in rows) else 0


def _line(row: AlertRow, now_unix_s: float) -> str:
    since = datetime.fromtimestamp(row.since_unix_s).astimezone()
    until = now_unix_s if row.until_unix_s is None else row.until_unix_s
    held = duration_text(until - row.since_unix_s)
    state = "for" if row.until_unix_s is None else "over after"
    return (
        f"{since:%Y-%m-%d %H:%M:%S} {row.severity.value:<8} {row.device_id} {row.kind.value} "
        f"{state} {held}: {row.detail}"
    )


def _watched(looked_unix_s: float | None, now_unix_s: float) -> str:
    if looked_unix_s is None:
        return "no console has looked for alerts yet"
    if now_unix_s - looked_unix_s <= _WATCHED_S:
        return ""
    return f"no console has looked for alerts for {duration_text(now_unix_s - looked_unix_s)}"
