"""One console on `/v1/control`: commands, one reply each, and pushed samples and events."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

import msgspec
from websockets.asyncio.server import ServerConnection

from edgeconsole.errors import EdgeConsoleError, ErrorCode, RequestError
from edgeconsole.protocol.control import (
    PROTOCOL_VERSION,
    ActivateModel,
    Backfill,
    CancelJob,
    CheckModel,
    Command,
    Done,
    EventPush,
    Explain,
    Failed,
    Force,
    ForceThermal,
    GetStatus,
    Hello,
    JobReport,
    JobReportReply,
    JobsReply,
    ListJobs,
    ListModels,
    LoadModel,
    ModelsReply,
    Optimize,
    Release,
    RemoveModel,
    Reply,
    RollBackModel,
    SamplePush,
    StatusReply,
    Subscribe,
    UnloadModel,
    Unsubscribe,
    decode_command,
    encode,
)
from edgeconsole.protocol.telemetry import DeviceEvent, DeviceSample
from edgeconsole.runtime.outbox import Outbox
from edgeconsole.runtime.telemetry import SAMPLE_S

if TYPE_CHECKING:
    from edgeconsole.runtime.agent import EdgeIntelligentAgent

MIN_INTERVAL_S: Final = 0.1
MAX_INTERVAL_S: Final = 60.0
MAX_WAITING: Final = 16
"""Overflow rule for commands that take their time: one more is refused."""
_Change = LoadModel | ActivateModel | RollBackModel | UnloadModel | RemoveModel | CheckModel
_Slow = _Change | CancelJob
"""What may wait for a process; nobody's stop and nobody's look waits behind it."""

_log = logging.getLogger("edgeconsole.agent")


class _OnlyId(msgspec.Struct):
    id: str = ""


class ControlSession:
    """Carries out one console's commands: those that take their time in order, the others at once."""

    def __init__(
        self, connection: ServerConnection, agent: EdgeIntelligentAgent, outbox: Outbox
    ) -> None:
        self._connection = connection
        self._agent = agent
        self._outbox = outbox
        self._pusher: asyncio.Task[None] | None = None
        self._every = 1
        self._passed = 0
        self._slow: asyncio.Queue[Command | None] = asyncio.Queue(MAX_WAITING)

    async def run(self) -> None:
        """Serve the connection until it closes."""
        sender = asyncio.create_task(self._outbox.send())
        worker = asyncio.create_task(self._work())
        try:
            async for frame in self._connection:
                await self._take(frame)
        finally:
            await self._unsubscribe()
            while not self._slow.empty():
                self._slow.get_nowait()  # Nobody waits for these any more.
            self._slow.put_nowait(None)
            await asyncio.gather(worker, return_exceptions=True)
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)

    async def _take(self, frame: str | bytes) -> None:
        """Answer a command, or leave it to the worker."""
        command_id = _peek_id(frame)
        try:
            command = decode_command(frame)
        except RequestError as error:
            self._outbox.reply(encode(_failed(command_id, error.code, error)))
            return
        if not isinstance(command, _Slow):
            self._outbox.reply(encode(await self._answer(command)))
            return
        try:
            self._slow.put_nowait(command)
        except asyncio.QueueFull:
            full = RequestError(ErrorCode.QUEUE_FULL, f"{MAX_WAITING} commands wait already")
            self._outbox.reply(encode(_failed(command_id, full.code, full)))

    async def _work(self) -> None:
        """Carry out what takes its time, one after the other, until there is no more."""
        while (command := await self._slow.get()) is not None:
            self._outbox.reply(encode(await self._answer(command)))

    async def _answer(self, command: Command) -> Reply:
        command_id = command.id
        try:
            return await self._carry_out(command)
        except RequestError as error:
            return _failed(command_id, error.code, error)
        except EdgeConsoleError as error:
            return _failed(command_id, ErrorCode.CONFLICT, error)
        except Exception:  # noqa: BLE001
            # A defect of ours must cost this command only; the peer gets no stack trace.
            _log.exception("a command could not be handled")
            return Failed(
                command_id, ErrorCode.INTERNAL.value, "the agent could not handle the command"
            )

    async def _carry_out(self, command: Command) -> Reply:
        agent = self._agent
        match command:
            case Hello():
                if PROTOCOL_VERSION not in command.versions:
                    raise RequestError(
                        ErrorCode.MALFORMED,
                        f"this agent speaks control version {PROTOCOL_VERSION}, "
                        f"the console {list(command.versions)}",
                        hint="update the older of the two",
                    )
                return agent.hello(command.id)
            case GetStatus():
                return StatusReply(command.id, agent.sample())
            case Subscribe():
                await self._subscribe(command)
                return Done(command.id)
            case Unsubscribe():
                await self._unsubscribe()
                return Done(command.id)
            case ListModels():
                return ModelsReply(command.id, await agent.models.listed())
            case (
                LoadModel()
                | ActivateModel()
                | RollBackModel()
                | UnloadModel()
                | RemoveModel()
                | CheckModel()
            ):
                return Done(command.id, await self._change(command))
            case Force() | Release() | ForceThermal() | Explain():
                return await self._order(command)
            case Optimize() | ListJobs() | JobReport() | CancelJob():
                return await self._job(command)
            case Backfill():
                return await agent.offline.backfill(command)

    async def _change(self, command: _Change) -> str:
        models = self._agent.models
        match command:
            case LoadModel():
                return await models.load(command)
            case ActivateModel():
                return await models.activate(command)
            case RollBackModel():
                return await models.roll_back(command)
            case UnloadModel():
                return await models.unload(command)
            case RemoveModel():
                return await models.remove(command)
            case CheckModel():
                return await models.check(command)

    async def _order(self, command: Force | Release | ForceThermal | Explain) -> Reply:
        match command:
            case Force():
                return Done(command.id, await self._agent.force(command))
            case Release():
                return Done(command.id, await self._agent.release(command))
            case ForceThermal():
                return Done(command.id, self._agent.force_thermal(command))
            case Explain():
                return self._agent.explain(command)

    async def _job(self, command: Optimize | ListJobs | JobReport | CancelJob) -> Reply:
        jobs = self._agent.jobs
        match command:
            case Optimize():
                return await self._agent.optimize(command)
            case ListJobs():
                return JobsReply(command.id, jobs.listed(command.job_id))
            case JobReport():
                return JobReportReply(command.id, *await jobs.report(command.job_id))
            case CancelJob():
                return Done(command.id, await self._agent.cancel_job(command))

    async def _subscribe(self, command: Subscribe) -> None:
        if not MIN_INTERVAL_S <= command.interval_s <= MAX_INTERVAL_S:
            raise RequestError(
                ErrorCode.BAD_PARAMETER,
                f"interval_s must be {MIN_INTERVAL_S} to {MAX_INTERVAL_S}, got {command.interval_s}",
            )
        await self._unsubscribe()
        for event in self._agent.telemetry.after(command.boot_id, command.after_seq):
            self._push_event(event)
        self._agent.telemetry.listen(self._push_event)
        if command.interval_s < SAMPLE_S:
            self._pusher = asyncio.create_task(self._push_samples(command.interval_s))
            return
        self._every, self._passed = round(command.interval_s / SAMPLE_S), 0
        self._push_sample(self._agent.telemetry.latest or self._agent.sample())
        self._agent.telemetry.follow(self._pass_on)

    async def _unsubscribe(self) -> None:
        self._agent.telemetry.unlisten(self._push_event)
        self._agent.telemetry.unfollow(self._pass_on)
        if self._pusher is not None:
            self._pusher.cancel()
            await asyncio.gather(self._pusher, return_exceptions=True)
            self._pusher = None

    async def _push_samples(self, interval_s: float) -> None:
        while True:
            self._push_sample(self._agent.sample())
            await asyncio.sleep(interval_s)

    def _pass_on(self, sample: DeviceSample) -> None:
        """Push each n-th of the samples that are taken every second."""
        self._passed += 1
        if self._passed % self._every == 0:
            self._push_sample(sample)

    def _push_sample(self, sample: DeviceSample) -> None:
        self._outbox.sample(encode(SamplePush(sample)))

    def _push_event(self, event: DeviceEvent) -> None:
        self._outbox.event(encode(EventPush(event)))


def _failed(command_id: str, code: ErrorCode, error: EdgeConsoleError) -> Failed:
    return Failed(command_id, code.value, error.message, error.hint)


def _peek_id(frame: str | bytes) -> str:
    try:
        return msgspec.json.decode(frame, type=_OnlyId).id
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return ""
