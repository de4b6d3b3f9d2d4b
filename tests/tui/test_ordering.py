"""Giving an order: what is told while it is on its way, and when it cannot be followed."""

from __future__ import annotations

import pytest
from fleets import CannedDesk, fallen, wall_of

from edgeconsole.errors import StoreError
from edgeconsole.fleet.orders import Intent, OrderKind, Outcome, Standing
from edgeconsole.tui import ordering
from edgeconsole.tui.actions import ActionRegistry
from edgeconsole.tui.glyphs import BRAILLE
from edgeconsole.tui.state import TELL_S, ConsoleState

INTENT = Intent("c" * 32, OrderKind.FAILSAFE_ON, "kim@desk")


def make_state() -> tuple[ConsoleState, object]:
    """Return a console's state and the clock it runs on."""
    store, clock = fallen(5)
    return ConsoleState(store, BRAILLE, ActionRegistry(), wall_of(clock)), clock


async def test_it_is_followed_until_it_is_final(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look is told; the last one stays for a while and then goes."""
    monkeypatch.setattr(ordering, "LOOK_S", 0.0)
    state, clock = make_state()
    desk = CannedDesk(outcome=Outcome.SENT)
    told: list[str] = []

    def draw() -> None:
        told.append(state.telling)
        if len(told) == 3:
            desk.outcome = Outcome.ACKNOWLEDGED

    await ordering.give(INTENT, ("a", "b"), desk, state, draw)
    assert told == [*["failsafe on: 2 sent"] * 3, "failsafe on: 2 acknowledged"]
    clock.now += TELL_S
    assert state.telling == ""


async def test_it_is_not_followed_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stays queued is left to the device's screen and the audit."""
    monkeypatch.setattr(ordering, "LOOK_S", 0.0)
    state, _ = make_state()
    told: list[str] = []
    desk = CannedDesk(outcome=Outcome.QUEUED)
    await ordering.give(INTENT, ("a",), desk, state, lambda: told.append(state.telling))
    assert told == ["failsafe on: 1 queued"] * ordering.LOOKS


async def test_an_order_that_cannot_be_followed_is_not_called_lost() -> None:
    """It was written down; only what became of it is unknown."""

    class Blind(CannedDesk):
        async def standings(self, command_id: str) -> list[Standing]:
            raise StoreError("history.db: disk I/O error")

    state, _ = make_state()
    desk = Blind()
    await ordering.give(INTENT, ("a",), desk, state, lambda: None)
    assert len(desk.given) == 1
    assert "was ordered; what became of it is unknown: history.db" in state.telling
