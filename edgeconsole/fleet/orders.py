"""What an operator orders devices to do: the order, its written form, its way to a command. No I/O."""

from __future__ import annotations

import shlex
from enum import StrEnum
from typing import Final, Self

import msgspec

from edgeconsole.durations import duration_text, parse_duration
from edgeconsole.errors import ConfigError
from edgeconsole.fleet.tasks import REPLY_S, ActivateTask, OptimizeTask, Sender, Task, TaskCommand
from edgeconsole.protocol.bounds import MAX_OVERRIDE_S
from edgeconsole.protocol.control import Force, ForceThermal, Release
from edgeconsole.protocol.failsafe import OverrideKind
from edgeconsole.protocol.thermal import ThermalState

DEFAULT_HOLD_S: Final = 1800.0
"""How long something is forced if nobody says."""
QUEUE_S: Final = 3600.0
"""How long an order waits for a device that is offline before it is dropped."""
LEAST_QUEUE_S: Final = 10.0
NO_REASON: Final = "no reason given"
MOST_REASON: Final = 200
"""Characters of a reason that are kept."""


class Lane(StrEnum):
    """Orders of a device go out one after the other within a lane, and no lane waits for the other.

    So nobody's stop waits for a model that is being loaded.
    """

    LADDER = "ladder"
    WORK = "work"


class OrderKind(StrEnum):
    """What is ordered, in a word or two."""

    FAILSAFE_ON = "failsafe on"
    FAILSAFE_OFF = "failsafe off"
    FALLBACK_ON = "fallback on"
    FALLBACK_OFF = "fallback off"
    MAINTENANCE_ON = "maintenance on"
    MAINTENANCE_OFF = "maintenance off"
    RELEASE = "release"
    THERMAL_NOMINAL = "thermal nominal"
    THERMAL_WARM = "thermal warm"
    THERMAL_HOT = "thermal hot"
    THERMAL_CRITICAL = "thermal critical"
    THERMAL_RELEASE = "thermal release"
    OPTIMIZE = "optimize"
    CANCEL_JOB = "jobs cancel"
    ACTIVATE = "activate"
    ROLL_BACK = "rollback"
    LOAD = "load"
    UNLOAD = "unload"
    STORE = "deploy --no-activate"
    REMOVE = "models remove"

    @property
    def lane(self) -> Lane:
        """Return the lane it goes to a device in."""
        return Lane.LADDER if self in (*LADDER_KINDS, *THERMAL_KINDS) else Lane.WORK

    @property
    def forces(self) -> OverrideKind | None:
        """Return what it forces; `None`: it lets go."""
        return _FORCES.get(self)

    @property
    def ends(self) -> OverrideKind | None:
        """Return what alone it lets go; `None`: whatever there is, or it lets go of nothing."""
        return _ENDS.get(self)

    @property
    def heat(self) -> ThermalState | None:
        """Return the thermal state that it forces; `None`: it forces none."""
        return _HEATS.get(self)

    @property
    def lasts(self) -> bool:
        """Say whether it forces something, which then lasts for a time."""
        return self.forces is not None or self.heat is not None


LADDER_KINDS: Final = (
    OrderKind.FAILSAFE_ON,
    OrderKind.FAILSAFE_OFF,
    OrderKind.FALLBACK_ON,
    OrderKind.FALLBACK_OFF,
    OrderKind.MAINTENANCE_ON,
    OrderKind.MAINTENANCE_OFF,
    OrderKind.RELEASE,
)
"""Those that force a rung or let go of it."""
THERMAL_KINDS: Final = (
    OrderKind.THERMAL_NOMINAL,
    OrderKind.THERMAL_WARM,
    OrderKind.THERMAL_HOT,
    OrderKind.THERMAL_CRITICAL,
    OrderKind.THERMAL_RELEASE,
)
"""Those that force a thermal state or let go of it; all others than these and the ladder's have a task."""
_FORCES: Final = {
    OrderKind.FAILSAFE_ON: OverrideKind.FAILSAFE,
    OrderKind.FALLBACK_ON: OverrideKind.FALLBACK,
    OrderKind.MAINTENANCE_ON: OverrideKind.MAINTENANCE,
}
_ENDS: Final = {
    OrderKind.FAILSAFE_OFF: OverrideKind.FAILSAFE,
    OrderKind.FALLBACK_OFF: OverrideKind.FALLBACK,
    OrderKind.MAINTENANCE_OFF: OverrideKind.MAINTENANCE,
}
_HEATS: Final = {
    OrderKind.THERMAL_NOMINAL: ThermalState.NOMINAL,
    OrderKind.THERMAL_WARM: ThermalState.WARM,
    OrderKind.THERMAL_HOT: ThermalState.HOT,
    OrderKind.THERMAL_CRITICAL: ThermalState.CRITICAL,
}


class Outcome(StrEnum):
    """How far an order has come; the last three are final."""

    QUEUED = "queued"
    SENT = "sent"
    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    EXPIRED = "expired"

    @property
    def final(self) -> bool:
        """Say whether nothing more will happen."""
        return self not in (Outcome.QUEUED, Outcome.SENT)


class Order(msgspec.Struct, frozen=True):
    """One thing one device is to do. All devices of one intent share its `command_id`."""

    command_id: str
    device_id: str
    url: str
    """Where the device was when it was ordered: an order never goes anywhere else."""
    kind: OrderKind
    model: str
    """Empty: all models."""
    reason: str
    actor: str
    issued_unix_s: float
    hold_s: float | None
    """How long what is forced lasts, from when it was ordered; `None` for what lets go."""
    send_before_unix_s: float
    """An order that was not delivered by then is dropped."""
    task: Task | None = None
    """What is done to models or jobs; `None` for what forces something or lets go."""

    @property
    def reply_s(self) -> float:
        """Return how long the device may take to reply."""
        return REPLY_S if self.task is None else self.task.reply_s

    @property
    def line(self) -> str:
        """Return it as one types it, behind `:` or `edgeconsole`."""
        if self.task is not None:
            line = self.task.line(self.device_id)
            why = isinstance(self.task, OptimizeTask) and self.reason != NO_REASON
            return f"{line} --reason {shlex.quote(self.reason)}" if why else line
        return line_of(
            self.kind, [self.device_id], model=self.model, hold_s=self.hold_s, reason=self.reason
        )

    def command(
        self, message_id: str, now_unix_s: float
    ) -> Force | Release | ForceThermal | TaskCommand:
        """Return the command for the device.

        What is forced ends when the operator was told that it would, also if it was sent later.
        """
        if self.task is not None:
            return self.task.command(Sender(message_id, self.command_id, self.actor))
        forces, heat = self.kind.forces, self.kind.heat
        by = (self.actor, self.reason)
        hold_s = self.hold_s or DEFAULT_HOLD_S
        # A clock that was set back must not make it longer than was ordered.
        left_s = max(1.0, min(hold_s, self.issued_unix_s + hold_s - now_unix_s))
        if self.kind in THERMAL_KINDS:
            return ForceThermal(message_id, self.command_id, *by, heat, left_s)
        if forces is None:
            return Release(message_id, self.command_id, *by, self.model, self.kind.ends)
        return Force(message_id, self.command_id, forces, *by, left_s, self.model)


class Intent(msgspec.Struct, frozen=True):
    """What an operator wants of some devices; one command id makes all of it one."""

    command_id: str
    kind: OrderKind
    actor: str
    model: str = ""
    reason: str = NO_REASON
    hold_s: float | None = DEFAULT_HOLD_S
    queue_s: float = QUEUE_S
    task: Task | None = None
    expected: dict[str, str] = {}
    """By device, the digest of what was seen to answer where something is activated."""

    @classmethod
    def of(cls, task: Task, command_id: str, actor: str, reason: str = NO_REASON) -> Self:
        """Return what is wanted where it has a task."""
        return cls(command_id, OrderKind(task.words), actor, "", reason, None, task=task)

    @property
    def reply_s(self) -> float:
        """Return how long a device may take to reply."""
        return REPLY_S if self.task is None else self.task.reply_s

    def order(self, device_id: str, url: str, now_unix_s: float) -> Order:
        """Return the order for one device, as given now."""
        hold_s = self.hold_s or DEFAULT_HOLD_S if self.kind.lasts else None
        wait_s = self.queue_s if hold_s is None else min(self.queue_s, hold_s)
        if self.task is not None:
            wait_s = min(wait_s, self.task.waits_s)
        return Order(
            command_id=self.command_id,
            device_id=device_id,
            url=url,
            kind=self.kind,
            model=self.model,
            reason=self.reason.strip()[:MOST_REASON] or NO_REASON,
            actor=self.actor,
            issued_unix_s=now_unix_s,
            hold_s=hold_s,
            send_before_unix_s=now_unix_s + wait_s,
            task=self._task_on(device_id),
        )

    def _task_on(self, device_id: str) -> Task | None:
        expected = self.expected.get(device_id)
        if expected is None or not isinstance(self.task, ActivateTask):
            return self.task
        return msgspec.structs.replace(self.task, expected=expected)


class Standing(msgspec.Struct, frozen=True):
    """An order and how far it has come."""

    order: Order
    outcome: Outcome
    detail: str = ""
    """What the device said, or why it is not there yet."""


def line_of(
    kind: OrderKind,
    devices: list[str],
    *,
    model: str = "",
    hold_s: float | None = None,
    reason: str = "",
) -> str:
    """Return an order as one types it: `failsafe on dock-1 --for 30m --reason 'smoke'`."""
    if kind in THERMAL_KINDS:
        heat = ["--release"] if kind.heat is None else ["--state", kind.heat.value]
        words = ["thermal", *devices, *heat]
    else:
        words = [*kind.value.split(), *devices]
    if model:
        words += ["--model", model]
    if hold_s is not None and kind.lasts:
        words += ["--for", duration_text(hold_s)]
    if reason and reason != NO_REASON:
        words += ["--reason", reason]
    return shlex.join(words)


def parse_hold(text: str) -> float:
    """Return how long something is to be forced; raises `ConfigError` for no time or too long."""
    hold_s = parse_duration(text)
    if not 1.0 <= hold_s <= MAX_OVERRIDE_S:
        raise ConfigError(
            f"{text!r}: what is forced lasts from 1s to {duration_text(MAX_OVERRIDE_S)}",
            hint="what is to last longer belongs in device.toml",
        )
    return hold_s


def parse_queue(text: str) -> float:
    """Return how long an order may wait; raises `ConfigError` for less than it takes to send."""
    queue_s = parse_duration(text)
    if queue_s < LEAST_QUEUE_S:
        least = duration_text(LEAST_QUEUE_S)
        raise ConfigError(f"{text!r}: an order waits at least {least}", hint="like 10m or 1h")
    return queue_s
