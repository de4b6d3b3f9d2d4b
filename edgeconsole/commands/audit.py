"""`edgeconsole audit`: who ordered what of which device, and what became of it."""

from __future__ import annotations

import argparse
import json
import time
from datetime import datetime

import msgspec

from edgeconsole.fleet import database
from edgeconsole.fleet.inventory import find_fleet_file, load_inventory
from edgeconsole.fleet.order_book import OrderBook
from edgeconsole.text import printable


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the verb."""
    parser = verbs.add_parser(
        "audit",
        help="print what was ordered of devices",
        description="Print the audit, newest first. Each change of an order is a row of its own; "
        "rows are never changed or removed.",
    )
    parser.add_argument("--device", default="", help="one device (default: all)")
    parser.add_argument("--limit", type=int, default=200, help="rows at most (default: 200)")
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the audit."""
    inventory = load_inventory(find_fleet_file(options.fleet))
    database.make(inventory.history_path)
    book = OrderBook(inventory.history_path)
    # What nobody could deliver in time is over, also if no console ran to notice.
    book.expire(time.time())
    rows = book.audit(options.limit, options.device)
    if options.json:
        print(json.dumps({"rows": msgspec.to_builtins(rows)}))
        return 0
    for row in rows:
        at = datetime.fromtimestamp(row.time_unix_s).astimezone()
        detail = f": {row.detail}" if row.detail else ""
        text = f"{at:%Y-%m-%d %H:%M:%S} {row.actor} {row.outcome.value:<12} {row.line}{detail}"
        print(printable(text))
    return 0
