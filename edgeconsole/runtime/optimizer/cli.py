"""`edgeconsole-agent optimize`: optimise a bundle on this device, without console or network."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Final

import msgspec

from edgeconsole.bundle import Bundle
from edgeconsole.bundle.manifest import MODEL_PT2
from edgeconsole.bundle.swap import put_in_place, sibling
from edgeconsole.bundle.writer import check_target
from edgeconsole.engines import Engine
from edgeconsole.errors import BundleError, EdgeConsoleError
from edgeconsole.optimization_options import add_options, read_options
from edgeconsole.optimization_table import report_lines
from edgeconsole.protocol.optimization import (
    OptimizationReport,
    VariantStatus,
)
from edgeconsole.runtime.linux import gain_no_privileges
from edgeconsole.runtime.optimizer.job import EdgeModelOptimizer, Order, Progress
from edgeconsole.runtime.optimizer.ledger import cache_path, one_at_a_time
from edgeconsole.runtime.optimizer.place import measure_place
from edgeconsole.runtime.optimizer.plan import Plan
from edgeconsole.runtime.optimizer.table import plan_lines
from edgeconsole.text import printable

EXIT_OK: Final = 0
EXIT_NOTHING_FITS: Final = 1
EXIT_USAGE: Final = 2
EXIT_CANCELLED: Final = 130
_DESCRIPTION: Final = """\
Make variants of a packed model, measure each on this device in a process of its own, and recommend
the best that keeps to the constraints. The bundle itself is not changed.

exit code: 0 a variant is recommended, 1 none keeps to the constraints, 2 it could not be done.
"""


def main(arguments: list[str]) -> int:
    """Run the verb; returns the exit code."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _cancelled)
    gain_no_privileges()
    try:
        return _run(options)
    except EdgeConsoleError as error:
        print(f"edgeconsole-agent optimize: {printable(str(error))}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        print("cancelled; what was measured is kept", file=sys.stderr)
        return EXIT_CANCELLED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edgeconsole-agent optimize",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("bundle", type=Path, metavar="BUNDLE", help="a folder that `edgeconsole pack` wrote")
    add("--out", type=Path, metavar="DIR", help="write the bundles of the variants that fit here")
    add_options(parser)
    add(
        "--engines",
        type=_engines,
        default=(),
        metavar="NAMES",
        help="use only these of the engines that are installed, with commas between",
    )
    add("--no-torch", action="store_true", help="do not load model.pt2, which can run code")
    add("--cache", type=Path, metavar="DIR", help="where results are kept")
    add("--plan", action="store_true", help="say what would be tried, and do nothing")
    add("--json", action="store_true", help="print the report as JSON")
    add("--progress", action="store_true", help="say how far it is on stderr, JSON lines")
    return parser


def _run(options: argparse.Namespace) -> int:
    if options.out is not None:
        options.out = _checked_out(options.out)
    bundle = _opened(options)
    bundle.verify()
    cache = (options.cache or cache_path()).absolute()
    tell = _teller(options)
    place = measure_place(options.engines)
    optimizer = EdgeModelOptimizer(bundle, _order(options), place, cache, tell)
    if options.plan:
        _print_plan(optimizer.plan(), place.engines, as_json=options.json)
        return EXIT_OK
    with one_at_a_time(cache, lambda: print("waits for another optimisation", file=sys.stderr)):
        report = _with_digests(optimizer, optimizer.optimize(), bundle)
    if options.out is not None:
        _write_out(optimizer, report, bundle, options.out)
    if tell is _show:
        print("\r\x1b[2K", end="", file=sys.stderr)
    if options.json:
        print(msgspec.json.encode(report).decode())
    else:
        print("\n".join(printable(line) for line in report_lines(report)))
    return EXIT_OK if report.recommended is not None else EXIT_NOTHING_FITS


def _opened(options: argparse.Namespace) -> Bundle:
    """Open the bundle; a device's copy lacks `model.pt2`, which is no loss where it is not used."""
    lacks_code = options.no_torch and not (options.bundle / MODEL_PT2).exists()
    return Bundle.open(options.bundle, on_device=lacks_code)


def _with_digests(
    optimizer: EdgeModelOptimizer, report: OptimizationReport, bundle: Bundle
) -> OptimizationReport:
    """Return the report with the digests of the variants that have a bundle."""
    rows = []
    for each in report.variants:
        digest = ""
        if each.status is VariantStatus.OK:
            folder = optimizer.bundle_of(each.name)
            digest = Bundle.open(folder).digest if folder.exists() else bundle.digest
        rows.append(msgspec.structs.replace(each, digest=digest))
    return msgspec.structs.replace(report, variants=tuple(rows))


def _order(options: argparse.Namespace) -> Order:
    asked = read_options(options)
    return Order(
        level=asked.level,
        objective=asked.objective,
        constraints=asked.constraints,
        budget_s=asked.budget_s,
        use_torch=not options.no_torch,
    )


def _checked_out(out: Path) -> Path:
    """Return the folder for bundles, made if need be; raises `BundleError`."""
    out = out.absolute()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BundleError(f"{out}: cannot be made: {error.strerror}") from error
    return out


def _write_out(
    optimizer: EdgeModelOptimizer, report: OptimizationReport, bundle: Bundle, out: Path
) -> None:
    """Copy the bundles that fit; a bundle that is there is replaced in one step."""
    folders = {
        optimizer.bundle_of(each.name)
        for each in report.variants
        if each.status is VariantStatus.OK
    }
    for folder in sorted(folders):
        source = folder if folder.exists() else bundle.path
        target = check_target(out / folder.name)
        partial = sibling(target, "partial")
        try:
            shutil.copytree(source, partial)
            put_in_place(partial, target)
        except OSError as error:
            raise BundleError(f"{target}: cannot be written: {error.strerror or error}") from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    try:
        (out / "report.json").write_bytes(msgspec.json.format(msgspec.json.encode(report)))
    except OSError as error:
        raise BundleError(f"{out}: cannot be written: {error.strerror}") from error


def _engines(text: str) -> tuple[Engine, ...]:
    """Return engines by name; raises `ValueError`, which the parser words."""
    return tuple(Engine(name.strip()) for name in text.split(","))


def _print_plan(plan: Plan, engines: Mapping[str, str], *, as_json: bool) -> None:
    if as_json:
        document = {"engines": engines, **msgspec.to_builtins(plan)}
        print(msgspec.json.encode(document).decode())
    else:
        print("\n".join(plan_lines(plan, engines)))


def _teller(options: argparse.Namespace) -> Callable[[Progress], None]:
    if options.progress:
        return _say
    return _show if sys.stderr.isatty() and not options.json else _silent


def _silent(_: Progress) -> None:
    """Say nothing."""


def _say(said: Progress) -> None:
    print(msgspec.json.encode(said).decode(), flush=True, file=sys.stderr)


def _show(said: Progress) -> None:
    """Show how far it is in place of what was shown before."""
    width = os.get_terminal_size(sys.stderr.fileno()).columns
    count = f" {said.done}/{said.of}" if said.of > 1 else ""
    text = f"{said.stage} {said.name}{count} · at most {said.left_s:.0f} s more"
    print("\r\x1b[2K" + printable(text)[: width - 1], end="", flush=True, file=sys.stderr)


def _cancelled(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
