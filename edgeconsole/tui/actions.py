"""The one list of what keys do, on which screens, and how dangerous it is. No Textual.

Bindings, footer and help are made from it. An action that changes a device needs an upper-case
key, and is refused while a screen is just opening: keys typed ahead of it must not reach it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Danger(StrEnum):
    """What an action does to a device."""

    NONE = "none"
    CHANGE = "change"
    STOP = "stop"


FLEET: Final = "fleet"
DEVICE: Final = "device"
WHY: Final = "why"
AUDIT: Final = "audit"
JOBS: Final = "jobs"
JOB: Final = "job"
MODELS: Final = "models"
MODEL: Final = "model"
HELP: Final = "help"
CONFIRM: Final = "confirm"
OF_A_DEVICE: Final = (FLEET, DEVICE, WHY)
"""Where there is a device to act on: those marked, the one under the cursor, or the one shown."""
BUNDLES: Final = (MODELS, MODEL)
MAIN: Final = (FLEET, DEVICE, WHY, AUDIT, *BUNDLES, JOBS, JOB)
SCROLLING: Final = (*MAIN, HELP)
EVERYWHERE: Final = (*SCROLLING, CONFIRM)

SETTLE_S: Final = 0.3
"""For so long after a screen opened, actions that change a device are refused."""

KEY_NAMES: Final = {
    "enter": "⏎",
    "escape": "Esc",
    "space": "Space",
    "colon": ":",
    "slash": "/",
    "question_mark": "?",
    "plus": "+",
    "minus": "-",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "up": "↑",
    "down": "↓",
    "left": "←",
    "right": "→",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "home": "Home",
    "end": "End",
    "tab": "Tab",
    "shift+tab": "⇧Tab",
    "shift+left": "⇧←",
    "shift+right": "⇧→",
    "ctrl+f": "^f",
    "ctrl+b": "^b",
    "ctrl+c": "^c",
}
"""How keys are written for people."""


@dataclass(frozen=True, slots=True)
class Action:
    """One thing a key does."""

    id: str
    keys: tuple[str, ...]
    title: str
    screens: tuple[str, ...]
    group: str
    danger: Danger = Danger.NONE
    footer: int = 0
    """Place in the footer, 1 first; 0: only in the help."""
    label: str = ""
    """A shorter title for the footer."""
    typing: bool = False
    """Whether it also works while a prompt has the keyboard."""

    @property
    def key_text(self) -> str:
        """Return its keys as people read them."""
        return " ".join(KEY_NAMES.get(key, key) for key in self.keys)


ACTIONS: Final = (
    Action("open", ("enter",), "open the device", (FLEET,), "Fleet", footer=1, label="Open"),
    Action(
        "open_job", ("enter",), "open the job's report", (JOBS,), "Fleet", footer=1, label="Report"
    ),
    Action(
        "activate_job",
        ("A",),
        "activate what a job recommends",
        (JOBS, JOB),
        "Device",
        danger=Danger.CHANGE,
        footer=2,
        label="Activate",
    ),
    Action(
        "cancel_job",
        ("C",),
        "cancel a job",
        (JOBS, JOB),
        "Device",
        danger=Danger.CHANGE,
        footer=4,
        label="Cancel job",
    ),
    Action(
        "open_model",
        ("enter",),
        "open the model and its plot",
        (MODELS,),
        "Fleet",
        footer=1,
        label="Open",
    ),
    Action(
        "activate_model",
        ("A",),
        "activate the bundle",
        BUNDLES,
        "Device",
        danger=Danger.CHANGE,
        footer=2,
        label="Activate",
    ),
    Action(
        "deploy_model",
        ("D",),
        "activate what is recommended",
        BUNDLES,
        "Device",
        danger=Danger.CHANGE,
        footer=4,
        label="Deploy best",
    ),
    Action(
        "roll_back_model",
        ("R",),
        "roll back to what answered before",
        BUNDLES,
        "Device",
        danger=Danger.CHANGE,
        footer=5,
        label="Roll back",
    ),
    Action(
        "remove_model",
        ("X",),
        "remove the bundle from the stores",
        BUNDLES,
        "Device",
        danger=Danger.STOP,
        footer=12,
        label="Remove",
    ),
    Action("models", ("3",), "models and variants", MAIN, "Fleet"),
    Action("jobs", ("4",), "optimisation jobs", MAIN, "Fleet"),
    Action("mark", ("space",), "mark the device", (FLEET,), "Fleet", footer=7, label="Mark"),
    Action("faults", ("z",), "faults only", (FLEET,), "Fleet", footer=8, label="Faults"),
    Action("sort_previous", ("shift+left",), "sort by the column to the left", (FLEET,), "Fleet"),
    Action(
        "sort_next",
        ("shift+right",),
        "sort by the column to the right",
        (FLEET,),
        "Fleet",
        footer=13,
        label="Sort",
    ),
    Action("sort_reverse", ("s",), "reverse the order", (FLEET,), "Fleet"),
    Action("why", ("e",), "explain why", (FLEET, DEVICE), "Device", footer=4, label="Why"),
    Action(
        "failsafe",
        ("F",),
        "force the failsafe",
        OF_A_DEVICE,
        "Device",
        danger=Danger.STOP,
        footer=2,
        label="Failsafe",
    ),
    Action(
        "fallback",
        ("B",),
        "force the fallback model",
        OF_A_DEVICE,
        "Device",
        danger=Danger.CHANGE,
        footer=11,
        label="Fallback",
    ),
    Action(
        "release",
        ("R",),
        "release what was forced",
        OF_A_DEVICE,
        "Device",
        danger=Danger.CHANGE,
        footer=12,
        label="Release",
    ),
    Action(
        "thermal",
        ("T",),
        "force a thermal state, or end that",
        OF_A_DEVICE,
        "Device",
        danger=Danger.STOP,
        footer=12,
        label="Thermal",
    ),
    Action(
        "optimize",
        ("O",),
        "make a model smaller and faster",
        (FLEET, DEVICE, *BUNDLES),
        "Device",
        danger=Danger.CHANGE,
        footer=11,
        label="Optimise",
    ),
    Action("longer", ("left_square_bracket",), "charts of a longer time", (DEVICE,), "Device"),
    Action("shorter", ("right_square_bracket",), "charts of a shorter time", (DEVICE,), "Device"),
    Action("down", ("j", "down"), "down", SCROLLING, "Move"),
    Action("up", ("k", "up"), "up", SCROLLING, "Move"),
    Action("left", ("h", "left"), "one column to the left", (FLEET,), "Move"),
    Action("right", ("l", "right"), "one column to the right", (FLEET,), "Move"),
    Action("top", ("g", "home"), "to the top", SCROLLING, "Move"),
    Action("bottom", ("G", "end"), "to the bottom", SCROLLING, "Move"),
    Action("page_down", ("ctrl+f", "pagedown"), "a page down", SCROLLING, "Move"),
    Action("page_up", ("ctrl+b", "pageup"), "a page up", SCROLLING, "Move"),
    Action("command", ("colon",), "command", MAIN, "General", footer=3, label="Command"),
    Action("filter", ("slash",), "filter", (FLEET,), "General", footer=5, label="Filter"),
    Action("help", ("question_mark",), "help", MAIN, "General", footer=6, label="Help"),
    Action("pause", ("p",), "pause the view; data keeps flowing", MAIN, "General"),
    Action("faster", ("plus",), "refresh more often", MAIN, "General"),
    Action("slower", ("minus",), "refresh less often", MAIN, "General"),
    Action(
        "back",
        ("escape",),
        "clear the filter, then go back",
        MAIN,
        "General",
        footer=10,
        label="Back",
    ),
    Action(
        "close",
        ("escape", "q", "question_mark", "enter"),
        "close the help",
        (HELP,),
        "General",
        footer=1,
        label="Close",
    ),
    Action("cancel", ("escape",), "leave it", (CONFIRM,), "Confirm", typing=True),
    Action("confirm", ("Y",), "give the order", (CONFIRM,), "Confirm", danger=Danger.STOP),
    Action("press", ("enter",), "press the button", (CONFIRM,), "Confirm", typing=True),
    Action("next", ("tab", "down"), "next field", (CONFIRM,), "Confirm", typing=True),
    Action("previous", ("shift+tab", "up"), "field before", (CONFIRM,), "Confirm", typing=True),
    Action("quit", ("q",), "quit", MAIN, "General", footer=9, label="Quit"),
    Action("quit_now", ("ctrl+c",), "quit, also while typing", EVERYWHERE, "General", typing=True),
)
"""Every action of this release."""


class ActionRegistry:
    """Actions by id and by screen; refuses rows that break the rules when it is made."""

    def __init__(self, actions: Iterable[Action] = ACTIONS) -> None:
        self.actions = tuple(actions)
        self._by_id = {action.id: action for action in self.actions}
        if len(self._by_id) != len(self.actions):
            raise ValueError("two actions have the same id")
        taken: dict[tuple[str, str], str] = {}
        for action in self.actions:
            _check_keys(action)
            for place in ((screen, key) for screen in action.screens for key in action.keys):
                if place in taken:
                    raise ValueError(f"{place[1]!r} is both {taken[place]!r} and {action.id!r}")
                taken[place] = action.id

    def get(self, action_id: str) -> Action:
        """Return an action by its id; raises `KeyError` for one that is not there."""
        return self._by_id[action_id]

    def on(self, screen: str) -> list[Action]:
        """Return the actions of a screen, in the order of the list."""
        return [action for action in self.actions if screen in action.screens]

    def footer(self, screen: str) -> list[Action]:
        """Return what a screen's footer shows, the most important first."""
        shown = [action for action in self.on(screen) if action.footer]
        return sorted(shown, key=lambda action: action.footer)

    def allows(self, action_id: str, screen: str, *, typing: bool, settled: bool) -> bool:
        """Say whether an action may run now.

        Args:
            action_id: The action.
            screen: The screen that is on top.
            typing: Whether a prompt has the keyboard.
            settled: Whether the screen on top has been there long enough to have been seen.
        """
        action = self._by_id.get(action_id)
        if action is None or screen not in action.screens or (typing and not action.typing):
            return False
        return settled or action.danger is Danger.NONE


def _check_keys(action: Action) -> None:
    if action.danger is Danger.NONE:
        return
    for key in action.keys:
        if not (len(key) == 1 and key.isupper()):
            raise ValueError(f"{action.id!r} changes a device, so {key!r} must be upper case")
    if action.typing:
        raise ValueError(f"{action.id!r} changes a device and so cannot work while typing")


class TypeAheadGuard:
    """Closed while the screen changes and for `SETTLE_S` after: nobody has seen it yet.

    A change is another screen, the help coming or going, or a prompt that closes (its filter may
    have put another device under the cursor). What counts is when a key was pressed, not when its
    turn came: a long burst of keys takes longer to work off than anybody takes to look.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._opening = 0
        self._settled_at = clock()
        self._pressed_at: float | None = None

    def pressed(self, at: float) -> None:
        """Note when the key or click that is handled now was made, by the monotonic clock."""
        self._pressed_at = min(at, self._clock())

    def close(self) -> None:
        """Note that a screen is about to open."""
        self._opening += 1

    def opened(self) -> None:
        """Note that the screen is there."""
        self._opening = max(0, self._opening - 1)
        self.changed()

    def changed(self) -> None:
        """Note that what is on the screen has changed under the operator's hands."""
        self._settled_at = self._clock() + SETTLE_S

    @property
    def settled(self) -> bool:
        """Whether the key that is handled now was pressed with the present screen in sight."""
        at = self._clock() if self._pressed_at is None else self._pressed_at
        return self._opening == 0 and at >= self._settled_at
