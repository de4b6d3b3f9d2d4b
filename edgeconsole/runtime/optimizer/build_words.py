"""What the builder process is asked and says: JSON, one object a line; imports no torch."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

import msgspec

from edgeconsole.errors import BundleError

BUILDER_MODULE: Final = "edgeconsole.runtime.optimizer.builder"

_Removed = Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)]
_Count = Annotated[int, msgspec.Meta(ge=1)]
_Positive = Annotated[float, msgspec.Meta(gt=0.0)]


class BuildError(BundleError):
    """A model cannot be pruned or distilled; the message says why and is the variant's reason."""


class Technique(StrEnum):
    """How a smaller model is made."""

    PRUNE = "prune"
    DISTIL = "distil"


class Scope(StrEnum):
    """Where channels compete to stay."""

    GROUP = "group"
    """Every group of coupled channels loses the same share."""
    GLOBAL = "global"
    """The least important channels of the whole model go first."""


class Start(StrEnum):
    """What a derived student starts from."""

    KEPT = "kept"
    """The original's most important channels."""
    FRESH = "fresh"
    """Random weights, drawn with the seed."""


class BuildRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One bundle to make from another; the builder reads exactly one from standard input."""

    bundle: str
    out: str
    """The folder to write, or the bundle there to replace; never that of `bundle`."""
    technique: Technique
    share: _Removed = 0.5
    """Of the channels that can go: to remove (`prune`), or to keep (`distil`: the width)."""
    size_bytes: _Count | None = None
    """`prune`: remove what is needed for weights of at most this size; then `share` is not used."""
    scope: Scope = Scope.GROUP
    start: Start = Start.KEPT
    student: str | None = None
    """`distil`: a `.pt2` file or `module:callable`, run as code, in place of a derived student."""
    seed: Annotated[int, msgspec.Meta(ge=0, lt=1 << 32)] = 0
    steps: _Count | None = None
    """Of training, at most; by default what the technique needs."""
    learning_rate: _Positive | None = None
    temperature: _Positive = 2.0
    threads: _Count = 1
    time_limit_s: _Positive = 600.0

    def __post_init__(self) -> None:
        """Refuse what the other technique alone understands."""
        if self.technique is Technique.PRUNE and self.student is not None:
            raise ValueError("a student is for distillation, not for pruning")
        if self.technique is Technique.DISTIL and self.size_bytes is not None:
            raise ValueError("a size is a target of pruning, not of distillation")


class BuildProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far the builder is: `done` of `of` steps of a stage (`load`, `prune`, `train`, `pack`)."""

    stage: str
    done: int
    of: int
    loss: float | None = None
    """On held-out rows; lower is better, 0 is the original."""


class BuildResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The builder's last line: a bundle and how it was made, or a reason."""

    ok: bool
    bundle: str = ""
    note: str = ""
    reason: str = ""


def decode_line(line: bytes) -> BuildProgress | BuildResult:
    """Decode a line of the builder; raises `msgspec.MsgspecError` for what it never writes."""
    found = msgspec.json.decode(line, type=dict[str, object])
    if "ok" in found:
        return msgspec.convert(found, BuildResult)
    return msgspec.convert(found, BuildProgress)
