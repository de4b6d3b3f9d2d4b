"""`edgeconsole optimize`: have a device make a model smaller and faster, and say what it found."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final
from uuid import uuid4

import msgspec

from edgeconsole.bundle import Bundle
from edgeconsole.commands.devices import find_in_fleet
from edgeconsole.commands.giving import EXIT_WAITING, give, place, waits
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
from edgeconsole.fleet.control import ControlLink
from edgeconsole.fleet.deploy import send_bundle
from edgeconsole.fleet.inventory import Inventory
from edgeconsole.fleet.orders import NO_REASON, Intent
from edgeconsole.fleet.tasks import ActivateTask, CancelTask, OptimizeTask, Task
from edgeconsole.optimization_options import Asked, add_options, read_options
from edgeconsole.protocol.jobs import Job, JobBundle, JobState
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

exit code: 0 a variant is recommended, 1 none keeps to the constraints, 2 it could not be done,
3 (--detach, MODEL) the device was not reached and the order waits for it.
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
    add("--reason", default=NO_REASON, help="why; it is kept in the audit")
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
    inventory, device = find_in_fleet(options.fleet, options.device)
    return asyncio.run(_Optimizing(options, inventory, device).run(asked, bundle))


class _Optimizing:
    """One run of the verb."""

    def __init__(
        self, options: argparse.Namespace, inventory: Inventory, device: FleetDevice
    ) -> None:
        self._options = options
        self._inventory = inventory
        self._device = device

    async def run(self, asked: Asked, bundle: Bundle | None) -> int:
        """Order it and do what the options say; returns the exit code."""
        options, device = self._options, self._device
        async with AsyncExitStack() as opened:
            link = ControlLink(device.url, self._inventory.token(device))
            try:
                await opened.enter_async_context(link)
                await link.hello()
            except LinkError as error:
                if not options.detach or bundle is not None or "/" in options.what:
                    raise
                return await self._leave(OptimizeTask(options.what, asked), error)
            if options.plan:
                return await print_plan(link, options, asked, bundle)
            if bundle is not None:
                token = self._inventory.token(device)
                await send_bundle(device.url, token, bundle, None if options.json else _say_sent)
            return await self._order(link, await wanted(link, options.what, asked, bundle))

    def _wish(self, task: OptimizeTask) -> Intent:
        return Intent.of(task, uuid4().hex, actor(), self._options.reason)

    async def _leave(self, task: OptimizeTask, error: LinkError) -> int:
        """Leave the order for whoever reaches the device."""
        _, order = await place(self._inventory, self._device, self._wish(task))
        if self._options.json:
            waiting = {"until_unix_s": order.send_before_unix_s, "reason": error.message}
            print(json.dumps({"device": self._device.id, "job_id": None, "waiting": waiting}))
        else:
            print(printable(f"{self._device.id} queued: {waits(order, error)}"))
        return EXIT_WAITING

    async def _order(self, link: ControlLink, task: OptimizeTask) -> int:
        options, intent = self._options, self._wish(task)
        await give(self._inventory, self._device, link, intent)
        ordered = await jobs.ordered_as(link, intent.command_id)
        if options.detach:
            _print_ordered(options, ordered.job_id, ordered.ahead)
            return 0
        job = await self._wait(link, ordered.job_id)
        if job.state is not JobState.DONE:
            code = ErrorCode.CANCELLED if job.state is JobState.CANCELLED else ErrorCode.CONFLICT
            raise RequestError(code, f"{job.job_id} {job.state}: {job.reason}")
        job, report = await jobs.fetch_report(link, ordered.job_id)
        best, trouble = job.recommended, None
        activate = options.activate and best is not None
        if activate and best is not None:
            trouble = await self._activate(link, best)
        _print_found(options, job, report, activated=activate and trouble is None)
        if trouble is not None:
            raise trouble  # What was found is said first.
        return 0 if best is not None else _EXIT_NOTHING_FITS

    async def _activate(self, link: ControlLink, best: JobBundle) -> EdgeConsoleError | None:
        """Let the recommendation answer; returns why it does not."""
        intent = _intent(ActivateTask(best.model, best.version, best.variant, best.digest))
        try:
            await give(self._inventory, self._device, link, intent)
        except EdgeConsoleError as error:
            return error
        return None

    async def _wait(self, link: ControlLink, job_id: str) -> Job:
        """Show how far the job is until it is over; an interruption cancels it."""
        line = ProgressLine(silent=self._options.json)
        try:
            return await jobs.follow(link, job_id, line.show)
        except asyncio.CancelledError:
            line.clear()
            await self._cancel(link, job_id)
            raise
        except LinkError as error:
            raise LinkError(
                f"{error.message}; job {job_id} goes on",
                hint=f"edgeconsole jobs report {self._device.id} {job_id}",
            ) from error
        finally:
            line.clear()

    async def _cancel(self, link: ControlLink, job_id: str) -> None:
        """Cancel the job for whoever interrupted us, and say so."""
        try:
            said = await give(self._inventory, self._device, link, _intent(CancelTask(job_id)))
        except EdgeConsoleError as error:
            where = f"edgeconsole jobs {self._device.id}"
            said = f"{job_id} was not cancelled: {error.message}; {where}"
        print(f"edgeconsole: {printable(said)}", file=sys.stderr)


def _intent(task: Task) -> Intent:
    return Intent.of(task, uuid4().hex, actor())


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
