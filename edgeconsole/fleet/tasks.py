"""What an operator orders of a device's models and jobs: its written form, its command. No I/O."""

from __future__ import annotations

import math
import shlex
from typing import ClassVar, Final

import msgspec

from edgeconsole.optimization_options import Asked, option_words
from edgeconsole.protocol.control import (
    ActivateModel,
    CancelJob,
    CheckModel,
    LoadModel,
    Optimize,
    RemoveModel,
    RollBackModel,
    UnloadModel,
)

# Each task has `words`, what it is called; `reply_s`, how long the device may take to reply; and
# `waits_s`, how long it may wait for the device at most.

TaskCommand = (
    ActivateModel
    | CancelJob
    | CheckModel
    | LoadModel
    | Optimize
    | RemoveModel
    | RollBackModel
    | UnloadModel
)

REPLY_S: Final = 10.0
LOAD_REPLY_S: Final = 75.0
"""For what starts a worker; above the agent's own limit for that."""
PRESENT_S: Final = 60.0
"""What was decided by looking at a device is meant for now: it waits no longer than this."""


class Sender(msgspec.Struct, frozen=True):
    """What an order adds to its task."""

    message_id: str
    command_id: str
    actor: str


class OptimizeTask(msgspec.Struct, frozen=True, tag="optimize"):
    """Make a model smaller and faster; nothing that answers changes."""

    what: str
    """The model, or `MODEL/VERSION/VARIANT`, as it is typed."""
    asked: Asked
    digest: str = ""
    """The bundle; empty: the one that answers to the model's name by then."""

    words: ClassVar[str] = "optimize"
    reply_s: ClassVar[float] = REPLY_S
    waits_s: ClassVar[float] = math.inf
    """It means the same an hour later, so it may wait for a device."""

    def line(self, device_id: str) -> str:
        """Return it as one types it, behind `:` or `edgeconsole`."""
        return shlex.join(
            ["optimize", self.what, "--on", device_id, *option_words(self.asked)],
        )

    def command(self, by: Sender) -> Optimize:
        """Return the command for the device."""
        asked, limits = self.asked, self.asked.constraints
        return Optimize(
            id=by.message_id,
            actor=by.actor,
            model="" if self.digest else self.what,
            digest=self.digest,
            level=asked.level,
            objective=asked.objective,
            max_drop=limits.max_drop,
            max_p99_ms=limits.max_p99_ms,
            max_memory_bytes=limits.max_memory_bytes,
            max_size_bytes=limits.max_size_bytes,
            budget_s=asked.budget_s,
            command_id=by.command_id,
        )


class CancelTask(msgspec.Struct, frozen=True, tag="cancel"):
    """End a job."""

    job_id: str

    words: ClassVar[str] = "jobs cancel"
    reply_s: ClassVar[float] = REPLY_S
    waits_s: ClassVar[float] = PRESENT_S

    def line(self, device_id: str) -> str:
        """Return it as one types it."""
        return shlex.join(["jobs", "cancel", device_id, self.job_id])

    def command(self, by: Sender) -> CancelJob:
        """Return the command for the device."""
        return CancelJob(by.message_id, self.job_id, by.actor, by.command_id)


class ActivateTask(msgspec.Struct, frozen=True, tag="activate"):
    """Let a stored bundle answer to its name."""

    model: str
    version: str = ""
    variant: str = ""
    digest: str = ""
    """Names exactly one bundle, if it is there."""
    expected: str = ""
    """The digest of what answered when it was ordered; empty: whatever answers."""

    words: ClassVar[str] = "activate"
    reply_s: ClassVar[float] = LOAD_REPLY_S
    waits_s: ClassVar[float] = PRESENT_S

    def line(self, device_id: str) -> str:
        """Return it as one types it."""
        return shlex.join(["activate", device_id, _name(self)])

    def command(self, by: Sender) -> ActivateModel:
        """Return the command for the device."""
        return ActivateModel(
            by.message_id,
            self.model,
            self.version,
            self.variant,
            self.digest,
            self.expected,
            by.command_id,
        )


class LoadTask(msgspec.Struct, frozen=True, tag="load"):
    """Start a worker for a stored bundle; what answers stays."""

    model: str
    version: str = ""
    variant: str = ""

    words: ClassVar[str] = "load"
    reply_s: ClassVar[float] = LOAD_REPLY_S
    waits_s: ClassVar[float] = PRESENT_S

    def line(self, device_id: str) -> str:
        """Return it as one types it."""
        return shlex.join(["load", device_id, _name(self)])

    def command(self, by: Sender) -> LoadModel:
        """Return the command for the device."""
        return LoadModel(by.message_id, self.model, self.version, self.variant, by.command_id)


class UnloadTask(msgspec.Struct, frozen=True, tag="unload"):
    """End a model's workers once they have answered what they accepted."""

    model: str
    version: str = ""
    variant: str = ""

    words: ClassVar[str] = "unload"
    reply_s: ClassVar[float] = LOAD_REPLY_S
    """Each of its workers drains, one after the other."""
    waits_s: ClassVar[float] = PRESENT_S

    def line(self, device_id: str) -> str:
        """Return it as one types it."""
        return shlex.join(["unload", device_id, _name(self)])

    def command(self, by: Sender) -> UnloadModel:
        """Return the command for the device."""
        return UnloadModel(by.message_id, self.model, self.version, self.variant, by.command_id)


class StoreTask(msgspec.Struct, frozen=True, tag="store"):
    """Have a bundle in the store without letting it answer; it is given once its files are there."""

    folder: str
    """Where it lies for who ordered it, as it was typed."""
    digest: str

    words: ClassVar[str] = "deploy --no-activate"
    reply_s: ClassVar[float] = LOAD_REPLY_S
    """It is read from a disk that may be an SD card."""
    waits_s: ClassVar[float] = PRESENT_S

    def line(self, device_id: str) -> str:
        """Return it as one types it."""
        return shlex.join(["deploy", "--no-activate", device_id, self.folder])

    def command(self, by: Sender) -> CheckModel:
        """Return the command for the device."""
        return CheckModel(by.message_id, self.digest, by.command_id)


class RollBackTask(msgspec.Struct, frozen=True, tag="rollback"):
    """Let the bundle that answered before answer again."""

    model: str
    expected: str = ""
    """As of `ActivateTask`; without it a roll-back that is sent twice might roll forward."""

    words: ClassVar[str] = "rollback"
    reply_s: ClassVar[float] = LOAD_REPLY_S
    waits_s: ClassVar[float] = PRESENT_S

    def line(self, device_id: str) -> str:
        """Return it as one types it."""
        return shlex.join(["rollback", device_id, self.model])

    def command(self, by: Sender) -> RollBackModel:
        """Return the command for the device."""
        return RollBackModel(by.message_id, self.model, self.expected, by.command_id)


class RemoveTask(msgspec.Struct, frozen=True, tag="remove"):
    """Remove a stored bundle."""

    key: str
    """`MODEL/VERSION/VARIANT`, for people."""
    digest: str

    words: ClassVar[str] = "models remove"
    reply_s: ClassVar[float] = REPLY_S
    waits_s: ClassVar[float] = PRESENT_S

    def line(self, device_id: str) -> str:
        """Return it as one types it; bundles may share a key, so the digest is with it."""
        words = ["models", "remove", device_id, self.key, "--digest", self.digest[:12]]
        return shlex.join(words)

    def command(self, by: Sender) -> RemoveModel:
        """Return the command for the device."""
        return RemoveModel(by.message_id, self.digest, by.command_id)


def _name(task: ActivateTask | LoadTask | UnloadTask) -> str:
    """Return `MODEL[/VERSION[/VARIANT]]`, as far as it says."""
    return f"{task.model}/{task.version}/{task.variant}".rstrip("/")


Task = (
    OptimizeTask
    | CancelTask
    | ActivateTask
    | LoadTask
    | UnloadTask
    | StoreTask
    | RollBackTask
    | RemoveTask
)
