"""How fast a backlog is written: a policy, followed here with a clock of our own."""

from __future__ import annotations

import random

import pytest

from edgeconsole.fleet.pace import (
    BLOCKS_UNTOLD,
    GENTLE,
    IN_TIME_S,
    LONGEST_REST_S,
    MOST,
    PIECE_S,
    Pace,
)

THREE_DAYS = 72 * 60
REPLY = 32


class Visit:
    """A visit to a device with some blocks; a piece takes `fixed_s` and `block_s` for each block."""

    def __init__(self, blocks: int, fixed_s: float, block_s: float, *, told: bool = True) -> None:
        self.now_s = 1000.0
        self.left = blocks
        self.worked_s = self.longest_s = 0.0
        self.pieces: list[int] = []
        self._fixed_s, self._block_s, self._told = fixed_s, block_s, told

    def run(self, chance: random.Random | None = None, ask_s: float = 0.005) -> float:
        """Write everything; returns how long it took."""
        pace = Pace.begun(self.now_s)
        while self.left:
            here = min(REPLY, self.left)
            self.now_s += ask_s
            while here:
                piece = min(here, pace.piece)
                took_s = self._fixed_s + piece * self._block_s
                took_s *= chance.uniform(0.5, 3.0) if chance else 1.0
                self.now_s += took_s
                self.worked_s += took_s
                self.pieces.append(piece)
                here -= piece
                self.left -= piece
                pace = pace.after(piece, took_s, self.now_s, self.left if self._told else None)
                self.now_s += pace.rest_s if self.left else 0.0
        return self.now_s - 1000.0


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("block_ms", [0.1, 0.3, 1.0, 2.0])
def test_three_days_are_there_in_time(block_ms: float, *, told: bool) -> None:
    """72 hours take at most what is promised, 60 s, told or not how much there is; and not all of it is work."""
    visit = Visit(THREE_DAYS, 0.0006, block_ms / 1000, told=told)
    took_s = visit.run()
    assert took_s < 60
    assert visit.worked_s < MOST * took_s


def test_no_longer_than_it_has_to_be_and_no_harder() -> None:
    """Where there is time, all of it is used: the share of work is what is needed, not more."""
    visit = Visit(THREE_DAYS, 0.0006, 0.0006)
    took_s = visit.run()
    assert 0.9 * IN_TIME_S < took_s < 1.1 * IN_TIME_S
    assert visit.worked_s < 0.12 * took_s


def test_minutes_are_there_at_once() -> None:
    """Ten minutes that were missed are not stretched: a chart is whole within a second."""
    assert Visit(10, 0.0006, 0.0006).run() < 1.0


def test_pieces_grow_to_what_a_stretch_may_take() -> None:
    """Pieces settle where one takes `PIECE_S`; what a reply leaves over does not make them small again."""
    visit = Visit(THREE_DAYS, 0.0006, 0.0004)
    visit.run()
    whole = [piece for piece in visit.pieces[50:] if piece > 2]
    assert set(whole) <= {4, 5, 6, 7}
    assert len(whole) > 0.8 * len(visit.pieces[50:])
    slow = Visit(40, 0.0, PIECE_S * 5)
    slow.run()
    assert set(slow.pieces) == {1}


def test_a_slow_machine_is_not_taken_over() -> None:
    """Where the time is too short even at `MOST`, it takes longer: the device goes on serving."""
    visit = Visit(THREE_DAYS, 0.0, 0.02)
    took_s = visit.run(ask_s=0.0)
    assert took_s > IN_TIME_S
    assert visit.worked_s <= MOST * took_s * 1.01


def test_a_piece_that_waited_is_not_paid_for_with_minutes() -> None:
    """A piece that waited five seconds for another writer is followed by a short rest."""
    pace = Pace.begun(0.0).after(1, 5.0, 5.0, 3)
    assert pace.rest_s <= LONGEST_REST_S


def test_whatever_pieces_take() -> None:
    """Random: time goes on, rests are never negative, shares stay within their bounds."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(50):
        visit = Visit(
            chance.randrange(1, BLOCKS_UNTOLD), chance.random() / 1000, chance.random() / 200
        )
        took_s = visit.run(chance)
        assert took_s >= visit.worked_s
        assert min(visit.pieces) >= 1
    for _ in range(1000):
        now_s, took_s = chance.uniform(0, 100), chance.expovariate(100)
        pace = Pace.begun(0.0).after(chance.randrange(1, 33), took_s, now_s, chance.randrange(5000))
        assert 0 <= pace.rest_s <= LONGEST_REST_S
        if pace.rest_s < LONGEST_REST_S and took_s:
            assert GENTLE * 0.999 <= took_s / (took_s + pace.rest_s) <= MOST * 1.001
