"""`edgeconsole optimize`: have a device make a model smaller and faster, and say what it found."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Final

import msgspec

from edgeconsole.bundle import Bundle
from edgeconsole.commands.devices import find_device
from edgeconsole.commands.job_lines import ProgressLine, found_lines
from edgeconsole.commands.job_order import print_plan, wanted
from edgeconsole.errors import (
    EdgeConsoleError,
    ErrorCode,
    LinkError,
    RequestError,
)
from edgeconsole.fleet import jobs
from edgeconsole.fleet.actor import actor
from edgeconsole.fleet.control import LOAD_TIMEOUT_S, ControlLink
from edgeconsole.fleet.deploy import send_bundle
from edgeconsole.optimization_options import Asked, add_options, read_options
from edgeconsole.protocol.control import ActivateModel
from edgeconsole.protocol.jobs import Job, JobState
from edgeconsole.protocol.optimization import OptimizationReport
from edgeconsole.specs import FleetDevice
from edgeconsole.text import printable

_EXIT_NOTHING_FITS: Final = 1
_DESCRIPTION: Final = """\
Have a device make variants of a model, measure each beside what it serves, and recommend the best
that keeps to the constraints; the bundles of those that fit are in its store afterwards. BUNDLE is a
folder, which is sent first (only the files the device lacks); MODEL is what answers on the device,
MODEL/VERSION/VARIANT any stored one. Ctrl-C cancels the job without a question; --detach leaves it
running.

exit code: 0 a variant is recommended, 1 none keeps to the constraints, 2 it could not be done.
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the verb."""
    parser = verbs.add_parser(
        "optimize",
        help="have a device make a model smaller and faster",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("what", metavar="MODEL|BUNDLE", help="a model on the device, or a bundle's folder")
    add("--on", required=True, metavar="DEVICE", dest="device", help="a device of the fleet file")
    add_options(parser)
    then = parser.add_mutually_exclusive_group()
    then.add_argument("--plan", action="store_true", help="say what would be done, and do nothing")
    then.add_argument("--detach", action="store_true", help="do not wait; `jobs` shows the job")
    then.add_argument("--activate", action="store_true", help="let the recommendation answer")
    add("--json", action="store_true")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Order the job, wait for it, and say what it found."""
    asked = read_options(options)
    bundle = None
    if Path(options.what).is_dir():
        bundle = Bundle.open(options.what)
        bundle.verify()
    device, token = find_device(options.fleet, options.device)
    return asyncio.run(_run(options, asked, device, token, bundle))


async def _run(
    options: argparse.Namespace,
    asked: Asked,
    device: FleetDevice,
    token: str,
    bundle: Bundle | None,
) -> int:
    async with ControlLink(device.url, token) as link:
        await link.hello()
        if options.plan:
            return await print_plan(link, options, bundle)
        if bundle is not None:
            await send_bundle(device.url, token, bundle, None if options.json else _say_sent)
        reply = await jobs.order(link, await wanted(link, options.what, asked, bundle))
        if options.detach:
            _print_ordered(options, reply.job_id, reply.ahead)
            return 0
        job = await _wait(link, options, reply.job_id)
        if job.state is not JobState.DONE:
            code = ErrorCode.CANCELLED if job.state is JobState.CANCELLED else ErrorCode.CONFLICT
            raise RequestError(code, f"{job.job_id} {job.state}: {job.reason}")
        job, report = await jobs.fetch_report(link, reply.job_id)
        best, activated, trouble = job.recommended, False, None
        if options.activate and best is not None:
            try:
                command = ActivateModel(link.next_id(), best.model, digest=best.digest)
                await link.ask(command, LOAD_TIMEOUT_S)
                activated = True
            except EdgeConsoleError as error:
                trouble = error  # What was found is said first.
    _print_found(options, job, report, activated=activated)
    if trouble is not None:
        raise trouble
    return 0 if best is not None else _EXIT_NOTHING_FITS


async def _wait(link: ControlLink, options: argparse.Namespace, job_id: str) -> Job:
    """Show how far the job is until it is over; an interruption cancels it."""
    line = ProgressLine(silent=options.json)
    try:
        return await jobs.follow(link, job_id, line.show)
    except asyncio.CancelledError:
        line.clear()
        await _cancel(link, options, job_id)
        raise
    except LinkError as error:
        raise LinkError(
            f"{error.message}; job {job_id} goes on",
            hint=f"edgeconsole jobs report {options.device} {job_id}",
        ) from error
    finally:
        line.clear()


async def _cancel(link: ControlLink, options: argparse.Namespace, job_id: str) -> None:
    """Cancel the job for whoever interrupted us, and say so."""
    try:
        said = await jobs.cancel(link, job_id, actor())
    except EdgeConsoleError as error:
        said = f"{job_id} was not cancelled: {error.message}; edgeconsole jobs {options.device}"
    print(f"edgeconsole: {printable(said)}", file=sys.stderr)


def _print_ordered(options: argparse.Namespace, job_id: str, ahead: int) -> None:
    if options.json:
        print(json.dumps({"device": options.device, "job_id": job_id, "ahead": ahead}))
        return
    where = f"is queued behind {ahead}" if ahead else "starts"
    print(f"{job_id} {where} on {options.device}")
    print(f"edgeconsole jobs report {options.device} {job_id}")


def _print_found(
    options: argparse.Namespace, job: Job, report: OptimizationReport, *, activated: bool
) -> None:
    if options.json:
        found = {
            "device": options.device,
            "job": msgspec.to_builtins(job),
            "report": msgspec.to_builtins(report),
            "activated": activated,
        }
        print(json.dumps(found))
        return
    for line in found_lines(options.device, job, report, activated=activated):
        print(printable(line))


def _say_sent(path: str, size: int) -> None:
    print(f"sent {path}, {size} bytes", file=sys.stderr)
