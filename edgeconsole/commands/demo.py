"""`edgeconsole demo`: three real agents on loopback, real traffic, and the console on them."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

import msgspec

from edgeconsole.demo.fleet import DemoFleet, Scenario, default_folder
from edgeconsole.demo.service import DemoReport, DemoService


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the verb."""
    parser = verbs.add_parser(
        "demo",
        help="watch three agents on this machine read handwritten digits",
        description="Start three agents on loopback, send them held-out images and open the console.",
    )
    parser.add_argument(
        "--headless", action="store_true", help="no screen; print what was measured"
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="how long, with --headless")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--dir", type=Path, help="where the demo keeps its files (default: the XDG state folder)"
    )
    parser.add_argument(
        "--scenario",
        choices=[each.value for each in Scenario],
        default=Scenario.CALM.value,
        help="heatwave: one device is simulated to get hot, and steps down (default: calm)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the demo; the exit code is 0 only if every device answered."""
    service = DemoService(DemoFleet(options.dir or default_folder(), Scenario(options.scenario)))
    if options.headless:
        asyncio.run(_headless(service, options.seconds))
    else:
        from edgeconsole.tui.app import EdgeConsoleApp
        from edgeconsole.tui.hangup import end_with_terminal

        end_with_terminal()
        code = EdgeConsoleApp(service, glyphs=options.glyphs).run()
        if code:
            return code
    report = service.report()
    if options.json:
        print(msgspec.json.encode(report).decode())
    else:
        _print_report(report)
    return 0 if report.all_answered else 1


async def _headless(service: DemoService, seconds: float) -> None:
    await service.start()
    try:
        await asyncio.sleep(seconds)
    finally:
        await service.stop()


def _print_report(report: DemoReport) -> None:
    for device in report.devices:
        if device.accuracy is None:
            print(f"{device.id}: no answers", file=sys.stderr)
            continue
        print(
            f"{device.id}: {device.correct} of {device.requests} held-out images read right "
            f"({device.accuracy:.2%}) by {device.model}/{device.variant}, "
            f"p50 {device.p50_ms:.1f} ms, p99 {device.p99_ms:.1f} ms"
        )
    print(f"history: {report.history_rows} samples in {report.history_path}")
