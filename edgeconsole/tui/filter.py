"""The grammar of `/`: which devices a filter keeps. Pure; no Textual.

Terms are separated by spaces and all must hold. `text` keeps devices that contain it, `!` inverts
a term, `state=crit,warn` compares a word, `temp>75` compares a figure. What is unknown is kept by
no comparison, inverted or not: a filter never claims to know.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from edgeconsole.errors import EdgeConsoleError
from edgeconsole.fleet.levels import Level
from edgeconsole.fleet.store import DeviceView
from edgeconsole.tui.glyphs import LEVEL_ROLES

Test = Callable[[DeviceView], bool | None]
"""Whether a term holds for a device; `None` if that is unknown."""


class FilterError(EdgeConsoleError):
    """A filter's term cannot be understood; the message says what was expected."""


def rate_of(view: DeviceView) -> float | None:
    """Return a device's answers per second over all its models."""
    return None if view.sample is None else sum(model.rate_per_s for model in view.sample.models)


WORDS: Final[dict[str, Callable[[DeviceView], str | None]]] = {
    "state": lambda view: LEVEL_ROLES[view.level],
    "device": lambda view: view.id,
    "site": lambda view: view.site,
    "model": lambda view: view.active.model if view.active else None,
    "variant": lambda view: view.active.variant if view.active else None,
    "version": lambda view: view.active.version if view.active else None,
    "class": lambda view: view.hello.device.device_class if view.hello else None,
    "rung": lambda view: view.route.rung.value if view.route else None,
    "link": lambda view: view.link.value,
    "seen": lambda view: view.freshness.value,
}
"""Keys that compare words."""

FIGURES: Final[dict[str, Callable[[DeviceView], float | None]]] = {
    "temp": lambda view: view.sample.temp_c.value if view.sample else None,
    "power": lambda view: view.sample.power_w.value if view.sample else None,
    "p50": lambda view: view.active.p50_ms if view.active else None,
    "p95": lambda view: view.active.p95_ms if view.active else None,
    "p99": lambda view: view.active.p99_ms if view.active else None,
    "budget": lambda view: None if view.budget is None else view.budget * 100,
    "cpu": lambda view: view.sample.cpu_percent if view.sample else None,
    "mem": lambda view: view.sample.memory_percent if view.sample else None,
    "rate": rate_of,
    "age": lambda view: view.age_s,
}
"""Keys that compare figures, in the units the table shows."""

_COMPARE: Final[dict[str, Callable[[float, float], bool]]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
    "=": math.isclose,
}
_TERM: Final = re.compile(r"([A-Za-z][A-Za-z0-9_]*)(>=|<=|!=|>|<|=)(.*)")


@dataclass(frozen=True, slots=True)
class Filter:
    """A parsed filter."""

    text: str = ""
    tests: tuple[Test, ...] = ()

    def keeps(self, view: DeviceView) -> bool:
        """Say whether a device passes every term."""
        return all(test(view) for test in self.tests)

    def __bool__(self) -> bool:
        """Say whether there is anything to filter by."""
        return bool(self.tests)


EVERYTHING: Final = Filter()


def parse(text: str) -> Filter:
    """Parse a filter; raises `FilterError` naming the term that is wrong."""
    text = text.strip().removeprefix("/").strip()
    return Filter(text, tuple(_term(term) for term in text.split()))


def while_typing(text: str, views: Iterable[DeviceView]) -> tuple[Filter, str]:
    """Return the filter to apply to a text that is not finished, and what is wrong with it.

    `temp>75` begins as the word `temp`, which no device contains; until it is finished such a last
    term is left out, so that the rows do not vanish and come back with every letter.
    """
    words = text.split()
    complaint = ""
    try:
        chosen = parse(text)
        key = words[-1].lstrip("/!").casefold() if words and not text[-1:].isspace() else ""
        begun = bool(key) and any(name.startswith(key) for name in (*WORDS, *FIGURES))
        if not begun or any(chosen.keeps(view) for view in views):
            return chosen, ""
    except FilterError as error:
        complaint = str(error)
    try:
        return parse(" ".join(words[:-1])), complaint
    except FilterError:
        return EVERYTHING, complaint


def _term(term: str) -> Test:
    if term.startswith("!"):
        if len(term) == 1:
            raise FilterError("'!' needs something to exclude", hint="such as !lyon")
        inner = _term(term[1:])
        return lambda view: None if (held := inner(view)) is None else not held
    found = _TERM.fullmatch(term)
    if found is None:
        return _contains(term.casefold())
    key, relation, wanted = found[1].casefold(), found[2], found[3]
    if key in WORDS:
        return _word(key, relation, wanted)
    if key in FIGURES:
        return _figure(key, relation, wanted)
    raise FilterError(f"no key {key!r}", hint=f"keys are {', '.join((*WORDS, *FIGURES))}")


def _contains(wanted: str) -> Test:
    def test(view: DeviceView) -> bool:
        texts = (read(view) for read in WORDS.values())
        return any(wanted in text.casefold() for text in texts if text)

    return test


def _word(key: str, relation: str, wanted: str) -> Test:
    if relation not in ("=", "!="):
        raise FilterError(f"{key!r} is a word", hint=f"write {key}=… or {key}!=…")
    choices = tuple(choice for choice in wanted.casefold().split(",") if choice)
    if not choices:
        raise FilterError(f"{key}{relation} needs a word")
    if key == "state":
        _check_states(choices)
    read = WORDS[key]

    def test(view: DeviceView) -> bool | None:
        text = read(view)
        if text is None:
            return None
        return text.casefold().startswith(choices) is (relation == "=")

    return test


def _check_states(choices: tuple[str, ...]) -> None:
    names = [LEVEL_ROLES[level] for level in Level]
    for choice in choices:
        if not any(name.startswith(choice) for name in names):
            raise FilterError(f"no state {choice!r}", hint=f"states are {', '.join(names)}")


def _figure(key: str, relation: str, wanted: str) -> Test:
    if relation == "!=":
        raise FilterError(f"{key!r} is a figure", hint=f"write {key}>… or {key}<…")
    try:
        level = float(wanted.rstrip("%"))
    except ValueError:
        raise FilterError(f"{key}{relation} needs a number", hint=f"such as {key}>75") from None
    if not math.isfinite(level):
        raise FilterError(f"{key}{relation} needs a finite number")
    read, compare = FIGURES[key], _COMPARE[relation]

    def test(view: DeviceView) -> bool | None:
        value = read(view)
        return None if value is None else compare(value, level)

    return test
