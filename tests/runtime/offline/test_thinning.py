"""What is given up next, as a pure function of what is kept."""

from __future__ import annotations

import random

import pytest

from edgeconsole.runtime.offline.thinning import AT_ONCE, STEPS, Drop, Kept, Thin, give_up


def test_nothing_goes_from_nothing() -> None:
    """A backlog of one minute gives nothing up."""
    assert give_up([]) is None
    assert give_up([Kept(1, 1)]) == Thin((1,), 2)
    assert give_up([Kept(1, 0)]) is None


def test_the_oldest_whole_minutes_are_thinned_first() -> None:
    """Of a hundred whole minutes the oldest lose every second sample; the newest stay as they are."""
    choice = give_up([Kept(place, 1) for place in range(100)])
    assert choice == Thin(tuple(range(AT_ONCE)), 2)


def test_dropping_comes_last() -> None:
    """While a minute may still be thinned, none is dropped."""
    blocks = [Kept(place, 0) for place in range(99)] + [Kept(99, 1)]
    assert give_up(blocks) == Drop(tuple(range(50))[:AT_ONCE])
    blocks[30] = Kept(30, 8)
    assert give_up(blocks) == Thin((30,), 0)


@pytest.mark.parametrize("size", [2, 7, 64, 500])
def test_it_comes_to_an_end_and_the_newest_stays(size: int) -> None:
    """However often it is asked, minutes only get thinner or go, and the newest never goes."""
    blocks = dict.fromkeys(range(size), 1)
    choice: Thin | Drop | None = Drop(())
    for _ in range(size * len(STEPS) + size):
        choice = give_up([Kept(*item) for item in blocks.items()])
        if choice is None:
            break
        assert 0 < len(choice.places) <= AT_ONCE
        for place in choice.places:
            if isinstance(choice, Thin):
                assert STEPS[blocks[place]] == choice.every
                blocks[place] = choice.every
            else:
                del blocks[place]
    assert choice is None
    assert size - 1 in blocks


def test_age_and_thinness_go_together() -> None:
    """While minutes come and go at random, no minute is thinner than an older one."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    blocks: dict[int, int] = {}
    for place in range(3000):
        blocks[place] = 1
        if len(blocks) > 100 and chance.random() < 0.7:
            choice = give_up([Kept(*item) for item in blocks.items()])
            assert choice is not None
            for each in choice.places:
                if isinstance(choice, Thin):
                    blocks[each] = choice.every
                else:
                    del blocks[each]
        thinness = [every or 99 for every in blocks.values()]
        assert thinness == sorted(thinness, reverse=True)
