"""What commands did, by their ids, so that one that is sent twice is carried out once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Final

import msgspec

from edgeconsole.durable import write_durably

MAX_COMMANDS: Final = 256
"""Overflow rule: the oldest outcome is forgotten; a command that old is not sent again."""
FILE_NAME: Final = "commands.json"
_log = logging.getLogger("edgeconsole.agent")


class Outcome(msgspec.Struct, frozen=True):
    """A command that was carried out, and what was said of it."""

    command_id: str
    message: str


class Outcomes:
    """The latest outcomes by command."""

    def __init__(self, kept: Iterable[Outcome] = ()) -> None:
        self._messages = {each.command_id: each.message for each in kept}

    def get(self, command_id: str) -> str | None:
        """Return what was said of a command that was carried out; `None`: it was not, or long ago."""
        return self._messages.get(command_id)

    def add(self, command_id: str, message: str) -> str:
        """Keep what is said of a command, and return it."""
        self._messages[command_id] = message
        while len(self._messages) > MAX_COMMANDS:
            del self._messages[next(iter(self._messages))]
        return message

    def kept(self) -> tuple[Outcome, ...]:
        """Return all, oldest first."""
        return tuple(Outcome(*each) for each in self._messages.items())


class CommandLog:
    """Carries out each command once, also over a restart of the agent.

    A command whose record could not be written, because the agent was killed or the disk is full, is
    carried out again if it comes again: all that go through here find then that it is done.
    """

    def __init__(self, state_dir: Path) -> None:
        self._file = state_dir / FILE_NAME
        self._outcomes = Outcomes()
        self._busy: dict[str, asyncio.Event] = {}
        self._saving = asyncio.Lock()

    def open(self) -> None:
        """Read what was carried out. Blocking. A damaged record is as good as none."""
        try:
            kept = msgspec.json.decode(self._file.read_bytes(), type=tuple[Outcome, ...])
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            _log.warning("%s: cannot be read, and is begun anew: %s", self._file, error)
            return
        self._outcomes = Outcomes(kept)

    async def once(self, command_id: str, work: Callable[[], Awaitable[str]]) -> str:
        """Do the work unless it was done before; returns what is or was said of it.

        Without an id it is done in any case. What fails is not remembered, and raises as it does.
        """
        if not command_id:
            return await work()
        while (other := self._busy.get(command_id)) is not None:
            await other.wait()
        done = self._outcomes.get(command_id)
        if done is not None:
            return done
        over = self._busy[command_id] = asyncio.Event()
        try:
            message = self._outcomes.add(command_id, await work())
            await self._save()
        finally:
            del self._busy[command_id]
            over.set()
        return message

    async def _save(self) -> None:
        async with self._saving:
            data = msgspec.json.encode(self._outcomes.kept())
            try:
                await asyncio.to_thread(write_durably, self._file, data, mode=0o600)
            except OSError as error:
                _log.warning("%s: cannot be written: %s", self._file, error.strerror)
