"""How fast what a device kept is written: gently, and still in time. Pure; no clock, no I/O.

What delays a device's answers, where the console runs on the device itself, is how long the console
computes at a stretch: unpacking and writing half an hour at once takes 25 ms of a core, asking for it
next to nothing (`make bench-drain`). So it is written in pieces of some milliseconds, and after
each the console rests in proportion to what the piece took.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

PIECE_S: Final = 0.003
"""What a piece should take: about what Linux lets a busy process go on for when another one waits."""
IN_TIME_S: Final = 40.0
"""All that a device has should be here after so long; three days are promised in 60 s."""
GENTLE: Final = 0.05
"""The least share of the time to work; what took minutes to gather is there at once all the same."""
MOST: Final = 0.25
"""The highest share, however late it is: four devices are asked at once, and one core is enough."""
LONGEST_REST_S: Final = 1.0
"""After a piece that had to wait for the disk or another writer; that was no work."""
BLOCKS_UNTOLD: Final = 4320
"""What an agent may have that does not tell how much: three days."""
_NEWEST: Final = 0.2
"""The weight of the latest piece in what a block takes."""


@dataclass(frozen=True, slots=True)
class Pace:
    """One visit to a device."""

    until_s: float
    """When it should be over."""
    piece: int = 1
    """How many blocks to write at a stretch now."""
    block_s: float | None = None
    """What a block takes to be written; `None` before the first."""
    rest_s: float = 0.0
    """How long to rest now."""

    @classmethod
    def begun(cls, now_s: float) -> Pace:
        """Begin a visit."""
        return cls(now_s + IN_TIME_S)

    def after(self, blocks: int, took_s: float, now_s: float, left: int | None) -> Pace:
        """Take note of a piece; `left` is how many blocks are still to come, `None`: untold.

        The next piece is a block larger or smaller: what a transaction costs by itself makes a single
        block dear, so that no size follows from it. The share of the time to work is the least that is
        in time, between `GENTLE` and `MOST`. What else takes time (the way to the device, a slow
        disk) makes the rests shorter, not the visit longer.
        """
        piece = self.piece
        if took_s > PIECE_S:
            piece = max(1, blocks - 1)
        elif blocks == piece:  # The rest of a reply proves nothing.
            piece += 1
        latest_s = took_s / blocks
        before_s = latest_s if self.block_s is None else self.block_s
        block_s = before_s + _NEWEST * (latest_s - before_s)
        ahead_s = (BLOCKS_UNTOLD if left is None else left) * block_s
        time_s = self.until_s - now_s
        share = MOST if time_s <= 0 else min(MOST, max(GENTLE, ahead_s / time_s))
        rest_s = min(LONGEST_REST_S, took_s * (1 / share - 1))
        return replace(self, piece=piece, block_s=block_s, rest_s=rest_s)
