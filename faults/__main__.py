"""`python -m faults`: do the faults one after the other, then at random, and print the table."""

from __future__ import annotations

import argparse
import asyncio
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from benchmarks.machine import describe
from edgeconsole.errors import EdgeConsoleError
from faults import files, mixed, outside, workers
from faults.fault import Fault
from faults.plant import Bundles
from faults.report import GOAL, in_time, line, page
from faults.runner import run_fault
from faults.shim import Shim
from faults.summary import Row

FAULTS: Final = (*workers.FAULTS, *files.FAULTS, *outside.FAULTS, *mixed.FAULTS)


def main() -> int:
    """Return 0 if nothing was lost, unlabelled or wrong, and all came in time."""
    arguments = _parser().parse_args()
    seed = arguments.seed if arguments.seed is not None else random.randrange(1 << 30)
    print(f"seed {seed}", flush=True)
    wanted = [
        fault for fault in FAULTS if any(each in fault.name for each in arguments.only or [""])
    ]
    if not wanted:
        print(f"no fault has {' or '.join(arguments.only)} in its name", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="edgeconsole-faults-") as folder:
        rows, skipped = asyncio.run(_run(wanted, Path(folder), seed))
    share = in_time(rows)
    if share is not None:
        print(f"in time while a core is free: {share:.3%} (goal {GOAL:.1%})")
    if arguments.page is not None:
        command = "make faults" if not arguments.only else "python -m faults"
        arguments.page.write_text(page(rows, skipped, describe(), command, seed), encoding="utf-8")
    return 1 if any(row.wrong for row in rows) or (share is not None and share < GOAL) else 0


async def _run(
    wanted: list[Fault], folder: Path, seed: int
) -> tuple[list[Row], list[tuple[str, str]]]:
    bundles = Bundles(folder)
    try:
        shim, no_shim = Shim(folder), ""
    except RuntimeError as error:
        shim, no_shim = None, str(error)
    rows: list[Row] = []
    skipped: list[tuple[str, str]] = []
    for fault in wanted:
        missing = no_shim if fault.shimmed else ""
        missing = missing or (fault.missing() if fault.missing is not None else "")
        if missing:
            skipped.append((fault.name, missing))
            print(f"{fault.name:40} skipped: {missing}", flush=True)
            continue
        try:
            rows.append(await run_fault(fault, folder, bundles, shim, seed))
        except (EdgeConsoleError, RuntimeError, OSError, subprocess.SubprocessError) as error:
            rows.append(Row(fault.name, wrong=[f"it could not be done: {error}"]))
        print(line(rows[-1]), flush=True)
    return rows, skipped


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="TEXT", help="faults with this in their names")
    parser.add_argument("--seed", type=int, help="repeat a run's random choices")
    parser.add_argument("--page", type=Path, metavar="FILE", help="also write the table as a page")
    return parser


if __name__ == "__main__":
    sys.exit(main())
