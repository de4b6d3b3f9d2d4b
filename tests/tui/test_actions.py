"""The action registry and the guard against type-ahead."""

from __future__ import annotations

import pytest

from edgeconsole.tui.actions import (
    ACTIONS,
    DEVICE,
    FLEET,
    HELP,
    MAIN,
    SETTLE_S,
    Action,
    ActionRegistry,
    Danger,
    TypeAheadGuard,
)


def danger(*keys: str, typing: bool = False) -> Action:
    """Return an action that changes a device."""
    return Action("stop", keys, "stop it", MAIN, "Danger", danger=Danger.STOP, typing=typing)


def test_what_changes_a_device() -> None:
    """These keys and no others: each opens a dialog, and one in it gives the order."""
    dangerous = {
        action.keys[0]: action.danger for action in ACTIONS if action.danger is not Danger.NONE
    }
    assert dangerous == {
        "F": Danger.STOP,
        "B": Danger.CHANGE,
        "R": Danger.CHANGE,
        "T": Danger.STOP,
        "A": Danger.CHANGE,
        "C": Danger.CHANGE,
        "D": Danger.CHANGE,
        "X": Danger.STOP,
        "O": Danger.CHANGE,
        "Y": Danger.STOP,
    }


@pytest.mark.parametrize("key", ["x", "ctrl+x", "f5", "1"])
def test_only_upper_case_may_change_a_device(key: str) -> None:
    """A lower-case or function key for a dangerous action is refused at once."""
    with pytest.raises(ValueError, match="upper case"):
        ActionRegistry([danger(key)])


def test_dangerous_actions_never_work_while_typing() -> None:
    """A prompt swallows them, always."""
    with pytest.raises(ValueError, match="while typing"):
        ActionRegistry([danger("Z", typing=True)])


def test_a_key_means_one_thing_on_a_screen() -> None:
    """Two actions may share a key only on different screens."""
    with pytest.raises(ValueError, match="is both"):
        ActionRegistry([*ACTIONS, Action("other", ("z",), "other", (FLEET,), "Fleet")])
    ActionRegistry([*ACTIONS, Action("other", ("z",), "other", (DEVICE,), "Device")])
    with pytest.raises(ValueError, match="same id"):
        ActionRegistry([*ACTIONS, ACTIONS[0]])


def test_reserved_keys_stay_reserved() -> None:
    """The keys to move with are never anything else."""
    registry = ActionRegistry()
    for action in registry.actions:
        if set(action.keys) & set("hjklgG"):
            assert action.group == "Move"


def test_the_registry_decides() -> None:
    """Screen, typing and guard are all asked."""
    registry = ActionRegistry([*ACTIONS, danger("Z")])

    def allowed(
        name: str, screen: str = FLEET, *, typing: bool = False, settled: bool = True
    ) -> bool:
        return registry.allows(name, screen, typing=typing, settled=settled)

    assert allowed("stop")
    assert not allowed("stop", settled=False)
    assert not allowed("stop", typing=True)
    assert not allowed("stop", HELP)
    assert allowed("pause", settled=False)
    assert not allowed("pause", typing=True)
    assert allowed("quit_now", typing=True)
    assert not allowed("mark", DEVICE)
    assert not allowed("no such action")


def test_the_footer_starts_with_what_matters() -> None:
    """The footer is in its own order, and only has what the screen can do."""
    fleet = [action.id for action in ActionRegistry().footer(FLEET)]
    assert fleet[:6] == ["open", "failsafe", "command", "why", "filter", "help"]
    assert "open" not in [action.id for action in ActionRegistry().footer(DEVICE)]


def test_a_key_counts_from_when_it_was_pressed() -> None:
    """Keys typed before the screen was there stay too early, however long their turn takes."""
    now = 100.0
    guard = TypeAheadGuard(lambda: now)
    guard.close()
    guard.opened()
    now += 60
    guard.pressed(100.0 + SETTLE_S - 0.01)
    assert not guard.settled
    guard.pressed(100.0 + SETTLE_S)
    assert guard.settled
    guard.changed()
    guard.pressed(1e9)
    assert not guard.settled


def test_the_guard_settles_after_the_screen_is_there() -> None:
    """From the request for a screen until a moment after it opened, nothing is settled."""
    now = 100.0
    guard = TypeAheadGuard(lambda: now)
    assert guard.settled
    guard.close()
    now += 60
    assert not guard.settled
    guard.opened()
    assert not guard.settled
    now += SETTLE_S + 0.01
    assert guard.settled
    guard.changed()
    assert not guard.settled
