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
    Command,
    Done,
    EventPush,
    Explain,
    Failed,
    Force,
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

_log = logging.getLogger("edgeconsole.agent")


class _OnlyId(msgspec.Struct):
    id: str = ""


class ControlSession:
    """Carries out one console's commands, in order."""

    def __init__(
        self, connection: ServerConnection, agent: EdgeIntelligentAgent, outbox: Outbox
    ) -> None:
        self._connection = connection
        self._agent = agent
        self._outbox = outbox
        self._pusher: asyncio.Task[None] | None = None
        self._every = 1
        self._passed = 0

    async def run(self) -> None:
        """Serve the connection until it closes."""
        sender = asyncio.create_task(self._outbox.send())
        try:
            async for frame in self._connection:
                self._outbox.reply(encode(await self._answer(frame)))
        finally:
            await self._unsubscribe()
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)

    async def _answer(self, frame: str | bytes) -> Reply:
        command_id = _peek_id(frame)
        try:
            return await self._carry_out(decode_command(frame))
        except RequestError as error:
            return Failed(command_id, error.code.value, error.message, error.hint)
        except EdgeConsoleError as error:
            return Failed(command_id, ErrorCode.CONFLICT.value, error.message, error.hint)
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
                return ModelsReply(command.id, await agent.models())
            case LoadModel() | ActivateModel() | RollBackModel() | UnloadModel():
                return Done(command.id, await self._change(command))
            case Force() | Release() | Explain():
                return await self._order(command)
            case Optimize() | ListJobs() | JobReport() | CancelJob():
                return await self._job(command)
            case Backfill():
                return await agent.offline.backfill(command)

    async def _change(
        self, command: LoadModel | ActivateModel | RollBackModel | UnloadModel
    ) -> str:
        agent = self._agent
        match command:
            case LoadModel():
                return await agent.load(command.model, command.version, command.variant)
            case ActivateModel():
                return await agent.activate(command)
            case RollBackModel():
                return await agent.roll_back(command.model)
            case UnloadModel():
                return await agent.unload(command.model, command.version, command.variant)

    async def _order(self, command: Force | Release | Explain) -> Reply:
        match command:
            case Force():
                return Done(command.id, await self._agent.force(command))
            case Release():
                return Done(command.id, await self._agent.release(command))
            case Explain():
                return self._agent.failsafe.explain(command)

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
                return Done(command.id, await jobs.cancel(command.job_id, command.actor))

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


def _peek_id(frame: str | bytes) -> str:
    try:
        return msgspec.json.decode(frame, type=_OnlyId).id
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return ""
