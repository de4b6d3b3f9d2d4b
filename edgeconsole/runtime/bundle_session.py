"""One console on `/v1/bundle`: takes a bundle into the store, off the event loop."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Final

from websockets.asyncio.server import ServerConnection

from edgeconsole.errors import BundleError, EdgeConsoleError, ErrorCode, RequestError
from edgeconsole.protocol.control import Failed
from edgeconsole.protocol.telemetry import Severity
from edgeconsole.protocol.transfer import (
    Commit,
    FileBegin,
    FileEnd,
    FromAgent,
    Offer,
    Received,
    Stored,
    Wanted,
    decode_from_console,
    encode_transfer,
)
from edgeconsole.runtime.models.intake import BundleIntake

if TYPE_CHECKING:
    from edgeconsole.runtime.agent import EdgeIntelligentAgent

IDLE_TIMEOUT_S: Final = 30.0

_log = logging.getLogger("edgeconsole.agent")


class BundleSession:
    """Follows one transfer from its offer to its commit."""

    def __init__(self, connection: ServerConnection, agent: EdgeIntelligentAgent) -> None:
        self._connection = connection
        self._agent = agent
        self._intake: BundleIntake | None = None
        self._file = ""

    async def run(self) -> None:
        """Serve the connection until it closes or fails."""
        try:
            while True:
                # One transfer at a time: a silent one must not keep others out.
                async with asyncio.timeout(IDLE_TIMEOUT_S):
                    frame = await self._connection.recv()
                reply = await self._answer(frame)
                over = isinstance(reply, (Stored, Failed))
                if over:
                    # Before the peer knows: the next transfer may come at once.
                    await self._abandon()
                if reply is not None:
                    await self._connection.send(encode_transfer(reply))
                if over:
                    return
        except TimeoutError:
            _log.warning("a transfer was silent for %.0f s and was ended", IDLE_TIMEOUT_S)
        finally:
            await self._abandon()

    async def _abandon(self) -> None:
        intake, self._intake = self._intake, None
        if intake is not None:
            await asyncio.to_thread(intake.abandon)

    async def _answer(self, frame: str | bytes) -> FromAgent | None:
        try:
            step = partial(self._step, frame)
            return await asyncio.to_thread(self._agent.store.guarded, step)
        except RequestError as error:
            return Failed("", error.code.value, error.message, error.hint)
        except EdgeConsoleError as error:
            return Failed("", ErrorCode.CONFLICT.value, error.message, error.hint)
        except Exception:  # noqa: BLE001
            # A defect of ours must cost this transfer only; the peer gets no stack trace.
            _log.exception("a transfer could not be handled")
            return Failed("", ErrorCode.INTERNAL.value, "the agent could not handle the transfer")

    def _step(self, frame: str | bytes) -> FromAgent | None:
        """Take one frame in; runs in a thread, one at a time."""
        if isinstance(frame, bytes):
            self._begun().write(frame)
            return None
        message = decode_from_console(frame)
        match message:
            case Offer():
                if self._intake is not None:
                    raise BundleError("one bundle a connection")
                self._intake = self._agent.store.intake(message.manifest)
                # Before any file is sent.
                self._agent.engine.check_runs_here(self._intake.manifest)
                stored = self._agent.store.sound(self._intake.digest) is not None
                files = () if stored else tuple(each.path for each in self._intake.wanted())
                return Wanted(self._intake.digest, files, stored)
            case FileBegin():
                self._begun().begin(message.path)
                self._file = message.path
                return None
            case FileEnd():
                self._begun().end()
                return Received(self._file)
            case Commit():
                return self._commit(self._begun())

    def _commit(self, intake: BundleIntake) -> Stored:
        if not intake.is_stored:
            bundle = intake.commit()
            self._agent.telemetry.record_soon(
                Severity.INFO, "bundle_stored", f"{bundle.manifest.key} arrived"
            )
        return Stored(intake.digest)

    def _begun(self) -> BundleIntake:
        if self._intake is None:
            raise BundleError("offer the manifest first")
        return self._intake
