"""What operators forced: durable, limited in time, and once per command.

How long an override has left is measured on the clock of time since boot, which nobody sets and which
runs through sleep; wall-clock time is only ever shown. After a restart of the agent on the same boot
that clock still counts. After a reboot it began anew, and nobody knows for how long the device was off:
then what was left at the last checkpoint counts, less what the wall clock says has passed since, if it
went forward. So a wall clock that is set back extends an override by no more than the time the device
was off and one checkpoint, and one that is set forward can only end it early.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from edgeconsole.durable import write_durably
from edgeconsole.errors import StoreError
from edgeconsole.protocol.control import Force, Release
from edgeconsole.protocol.failsafe import Override, OverrideKind
from edgeconsole.runtime.outcomes import Outcome, Outcomes

FILE_NAME: Final = "overrides.json"
CHECKPOINT_S: Final = 60.0
"""How often what is left is written while something is forced."""
_SEVERITY: Final = (OverrideKind.FALLBACK, OverrideKind.FAILSAFE, OverrideKind.MAINTENANCE)


class Forced(msgspec.Struct, frozen=True):
    """One override as it is kept."""

    kind: OverrideKind
    model: str
    actor: str
    reason: str
    command_id: str
    issued_unix_s: float
    ends_boot_s: float
    """When it ends, on the clock of time since boot."""


class _Record(msgspec.Struct, frozen=True):
    boot: str
    saved_boot_s: float
    saved_unix_s: float
    forced: tuple[Forced, ...] = ()
    outcomes: tuple[Outcome, ...] = ()


def boot_clock_s() -> float:
    """Return the seconds since the machine started, sleep included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def this_boot() -> str:
    """Return the kernel's id of this start of the machine; empty where it has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


class Overrides:
    """The overrides of one agent. Changes are in force at once; `save` makes them durable."""

    def __init__(
        self,
        file: Path,
        *,
        boot: str,
        clock: Callable[[], float] = boot_clock_s,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Read what is in force; raises `StoreError` if the file is damaged."""
        self._file = file
        self._boot = boot
        self._clock = clock
        self._wall = wall
        self._forced: dict[str, Forced] = {}
        self._outcomes = Outcomes()
        self._saved_s = clock()
        self._read()

    def outcome(self, command_id: str) -> str | None:
        """Return what a command did when it was carried out before."""
        return self._outcomes.get(command_id)

    def force(self, command: Force) -> str:
        """Put an override in force, in place of the one on the same model; returns a sentence."""
        done = self.outcome(command.command_id)
        if done is not None:
            return done
        self._forced[command.model] = Forced(
            kind=command.kind,
            model=command.model,
            actor=command.actor,
            reason=command.reason,
            command_id=command.command_id,
            issued_unix_s=self._wall(),
            ends_boot_s=self._clock() + command.for_s,
        )
        which = repr(command.model) if command.model else "all models"
        return self._outcomes.add(
            command.command_id,
            f"{command.kind} is in force for {which}, {command.for_s:.0f} s long",
        )

    def release(self, command: Release) -> str:
        """End overrides: one model's, or without a model all, of a kind or any; returns a sentence."""
        done = self.outcome(command.command_id)
        if done is not None:
            return done
        self.drop_ended()
        here = [each for each in self._forced.values() if command.model in ("", each.model)]
        ended = [each for each in here if command.kind in (None, each.kind)]
        for each in ended:
            del self._forced[each.model]
        if ended:
            what = ", ".join(each.model or "all models" for each in ended)
            message = f"released: {what}"
        elif here:
            message = f"{command.kind} was not forced; {here[0].kind} by {here[0].actor} goes on"
        elif "" in self._forced:
            message = "nothing is forced on this model alone; what holds all models goes on"
        else:
            message = "nothing was forced"
        return self._outcomes.add(command.command_id, message)

    def current(self, model: str) -> Override | None:
        """Return what is in force for a model; of two the one that stops more."""
        now_s = self._clock()
        held = [
            forced
            for name in {"", model}
            if (forced := self._forced.get(name)) is not None and forced.ends_boot_s > now_s
        ]
        if not held:
            return None
        forced = max(held, key=lambda each: _SEVERITY.index(each.kind))
        return Override(
            kind=forced.kind,
            model=forced.model,
            actor=forced.actor,
            reason=forced.reason,
            command_id=forced.command_id,
            issued_unix_s=forced.issued_unix_s,
            until_unix_s=self._wall() + forced.ends_boot_s - now_s,
        )

    def drop_ended(self) -> list[Forced]:
        """Take out and return what has run out."""
        now_s = self._clock()
        ended = [each for each in self._forced.values() if each.ends_boot_s <= now_s]
        for each in ended:
            del self._forced[each.model]
        return ended

    @property
    def in_force(self) -> bool:
        """Say whether anything is forced."""
        return bool(self._forced)

    @property
    def wants_checkpoint(self) -> bool:
        """Say whether what is left should be written again."""
        return bool(self._forced) and self._clock() - self._saved_s >= CHECKPOINT_S

    def save(self) -> None:
        """Write what is in force, durably. Blocking. Raises `StoreError`; all stays in force."""
        record = _Record(
            boot=self._boot,
            saved_boot_s=self._clock(),
            saved_unix_s=self._wall(),
            forced=tuple(self._forced.values()),
            outcomes=self._outcomes.kept(),
        )
        self._saved_s = record.saved_boot_s
        try:
            write_durably(self._file, msgspec.json.encode(record), mode=0o600)
        except OSError as error:
            raise StoreError(
                f"{self._file}: cannot be written: {error.strerror}",
                hint="free some space; what is forced holds, but not through a restart",
            ) from error

    def _read(self) -> None:
        try:
            record = msgspec.json.decode(self._file.read_bytes(), type=_Record)
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            raise StoreError(
                f"{self._file}: cannot be read: {error}",
                hint="remove it, then force again what must be forced",
            ) from error
        self._outcomes = Outcomes(record.outcomes)
        for forced in record.forced:
            ends_s = forced.ends_boot_s
            if not self._boot or record.boot != self._boot:
                left_s = ends_s - record.saved_boot_s
                off_s = max(0.0, self._wall() - record.saved_unix_s)
                ends_s = self._clock() + left_s - off_s
            self._forced[forced.model] = msgspec.structs.replace(forced, ends_boot_s=ends_s)
        self.drop_ended()
