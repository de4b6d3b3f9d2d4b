"""What operators order: in force at once, told, then made durable. The shell around `Overrides`."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Protocol

from edgeconsole.errors import ErrorCode, RequestError, StoreError
from edgeconsole.protocol.bounds import MAX_OVERRIDE_S
from edgeconsole.protocol.control import Force, Release
from edgeconsole.protocol.failsafe import Override, OverrideKind, Transition
from edgeconsole.protocol.telemetry import Severity
from edgeconsole.runtime.failsafe.overrides import FILE_NAME, Overrides, this_boot


class OnEvent(Protocol):
    """Where events go."""

    def __call__(
        self, severity: Severity, kind: str, message: str, transition: Transition | None = None
    ) -> None:
        """Record an event."""
        ...


class Orders:
    """The orders of one agent."""

    def __init__(self, on_event: OnEvent) -> None:
        self._on_event = on_event
        self._opened: Overrides | None = None
        self._saving = asyncio.Lock()

    def open(self, state_dir: Path) -> None:
        """Read what is forced. What cannot be read may have been a stop: everything is held then.

        Raises `StoreError` if the damaged record cannot be put aside.
        """
        file = state_dir / FILE_NAME
        try:
            self._opened = Overrides(file, boot=this_boot())
        except StoreError as error:
            try:
                file.rename(file.with_name(f"{FILE_NAME}.damaged"))
            except OSError as cause:
                raise error from cause
            self._opened = Overrides(file, boot=this_boot())
            self._opened.force(
                Force(
                    id="",
                    command_id=f"damaged-{time.time_ns()}",
                    kind=OverrideKind.FAILSAFE,
                    actor="the agent",
                    reason="its record of overrides was damaged; release it once you have looked",
                    for_s=MAX_OVERRIDE_S,
                )
            )
            self._on_event(Severity.CRITICAL, "overrides_damaged", str(error))

    def current(self, model: str) -> Override | None:
        """Return what is in force for a model."""
        return None if self._opened is None else self._opened.current(model)

    def force(self, command: Force) -> tuple[str, bool]:
        """Put an override in force; returns a sentence, and whether it is new."""
        is_new = self._overrides.outcome(command.command_id) is None
        message = self._overrides.force(command)
        if is_new:
            self._on_event(
                Severity.WARNING,
                "override_forced",
                f"{command.actor} forced {command.kind} on {command.model or 'all models'} "
                f"for {command.for_s:.0f} s: {command.reason}",
            )
        return message, is_new

    def release(self, command: Release) -> tuple[str, bool]:
        """End overrides; returns a sentence, and whether the command is new."""
        is_new = self._overrides.outcome(command.command_id) is None
        message = self._overrides.release(command)
        if is_new:
            self._on_event(
                Severity.INFO,
                "override_released",
                f"{command.actor}: {message} ({command.reason})",
            )
        return message, is_new

    def tell_ended(self) -> None:
        """Take out what has run out, and tell it."""
        for ended in self._overrides.drop_ended():
            self._on_event(
                Severity.INFO,
                "override_ended",
                f"the time of {ended.kind} on {ended.model or 'all models'} is over "
                f"(forced by {ended.actor})",
            )

    async def save(self) -> str:
        """Make orders durable; returns what to add to a reply if that failed."""
        async with self._saving:
            try:
                await asyncio.to_thread(self._overrides.save)
            except StoreError as error:
                self._on_event(Severity.CRITICAL, "overrides_not_saved", str(error))
                return f"; but it will not survive a restart: {error.message}"
        return ""

    async def checkpoint(self, *, last: bool = False) -> None:
        """Write what is left of overrides, if it is time or the agent ends."""
        opened = self._opened
        if opened is not None and (opened.wants_checkpoint or (last and opened.in_force)):
            await self.save()

    @property
    def _overrides(self) -> Overrides:
        if self._opened is None:
            raise RequestError(ErrorCode.NOT_READY, "the agent is still starting")
        return self._opened
