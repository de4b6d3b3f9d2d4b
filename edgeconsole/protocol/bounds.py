"""Bounds of what peers may say: numbers that databases and charts hold, texts that fit a line."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
"""Bounded, so that no peer can send a number that a database or a chart cannot hold."""
UnixTime = Annotated[float, msgspec.Meta(ge=0.0, le=1e11)]
DeadlineMs = Annotated[float, msgspec.Meta(gt=0.0)]
AgeSeconds = Annotated[float, msgspec.Meta(ge=0.0, le=1e11)]

MAX_OVERRIDE_S: Final = 7 * 86_400.0
"""The longest an operator's override may last; what is to last longer belongs in device.toml."""
OverrideSeconds = Annotated[float, msgspec.Meta(ge=1.0, le=MAX_OVERRIDE_S)]
Words = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
"""What a person gives as a name or a reason: it must be there, and fit a line."""
CommandId = Annotated[str, msgspec.Meta(min_length=8, max_length=64)]
"""An id that no two commands share, such as a UUID: it makes a command that is sent twice one."""
CommandIdIfAny = Annotated[str, msgspec.Meta(pattern="^(.{8,64})?$")]
"""Likewise; empty: the command is carried out each time it is sent."""
