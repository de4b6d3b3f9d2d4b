"""Tells the world of incidents: a program, an address. Never waited for by anybody, and never for long.

Incidents wait in a bounded queue and go out one after the other. Overflow rule: the oldest is dropped, and
counted in `problem`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import urllib.error
import urllib.request
from collections import deque
from typing import Final

import msgspec

from edgeconsole import __version__
from edgeconsole.fleet.incidents import Incident
from edgeconsole.specs import AlertConfig

MAX_WAITING: Final = 64
_ENDED_S: Final = 2.0

_log = logging.getLogger("edgeconsole.fleet")


class Hooks:
    """The hooks of a fleet."""

    def __init__(self, config: AlertConfig) -> None:
        self._config = config
        self._waiting: deque[Incident] = deque(maxlen=MAX_WAITING)
        self._filled = asyncio.Event()
        self.problem = ""
        """Why the latest incident did not go out, or that some were dropped; empty while all is well."""
        self.dropped = 0

    def tell(self, incident: Incident) -> None:
        """Queue an incident, if there is anybody to tell."""
        if not (self._config.command or self._config.webhook):
            return
        if len(self._waiting) == MAX_WAITING:
            self.dropped += 1
        self._waiting.append(incident)
        self._filled.set()

    async def run(self) -> None:
        """Send what waits, for ever."""
        while True:
            await self._filled.wait()
            while self._waiting:
                await self.send(self._waiting.popleft())
            self._filled.clear()

    async def send(self, incident: Incident) -> None:
        """Send one incident; what goes wrong is in `problem`."""
        body = msgspec.json.encode(incident)
        problems: list[str] = []
        if self._config.command:
            problems.append(await self._run_command(body))
        if self._config.webhook:
            problems.append(await self._post(body))
        problem = "; ".join(filter(None, problems))
        dropped = f"{self.dropped} incidents were not told" if self.dropped else ""
        self.problem = problem or dropped
        if problem:
            _log.warning("%s: %s", incident.text, problem)

    async def _run_command(self, body: bytes) -> str:
        program = self._config.command
        try:
            process = await asyncio.create_subprocess_exec(
                *program,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            return f"{program[0]} cannot be started: {error.strerror}"
        try:
            async with asyncio.timeout(self._config.timeout_s):
                await process.communicate(body)
        except TimeoutError:
            return f"{program[0]} did not end within {self._config.timeout_s:g} s"
        finally:
            if process.returncode is None:
                # With all that it started: they are a process group of their own.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        return f"{program[0]} ended with {process.returncode}" if process.returncode else ""

    async def _post(self, body: bytes) -> str:
        address = self._config.webhook
        try:
            async with asyncio.timeout(self._config.timeout_s + _ENDED_S):
                await asyncio.to_thread(_post, address, body, self._config.timeout_s)
        except urllib.error.HTTPError as error:
            return f"{address} answered {error.code}"
        except (TimeoutError, OSError, ValueError) as error:
            return f"{address} cannot be reached: {str(error) or type(error).__name__}"
        return ""


def _post(address: str, body: bytes, timeout_s: float) -> None:
    """Post; in a thread."""
    request = urllib.request.Request(  # noqa: S310 - `AlertConfig` refuses other schemes
        address,
        data=body,
        headers={
            "Content-Type": "application/json",
            "User-Agent": f"edgeconsole/{__version__}",
        },
    )
    with urllib.request.urlopen(request, timeout=timeout_s) as reply:  # noqa: S310 - likewise
        reply.read(1024)
