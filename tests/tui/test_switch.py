"""Before and after on the Device screen: the line, the mark, what is unknown, what is old."""

from __future__ import annotations

import pytest
from driving import make_app, picture, texts
from fleets import HOSTILE, WALL, lab, switched

from edgeconsole.fleet.switches import SHOWN_S, Figures, Switch
from edgeconsole.tui import charts, switch_lines
from edgeconsole.tui.glyphs import ALPHABETS, BRAILLE
from edgeconsole.tui.runs import line_width

BEFORE = Figures(12.0, 19.2, 84.0, 187 << 20, 59.0)
NOW = Figures(4.62, 7.38, 85.0, 64 << 20, 48.0)
SWITCH = Switch(100.0, "yolo-n", "yolo-n/1.2.0/fp32", "yolo-n/1.2.0/int8-static", BEFORE)


def shown(switch: Switch | None = SWITCH, now: Figures = NOW, at: float = 234.0) -> list[str]:
    """Return the lines as text."""
    return texts(switch_lines.lines(switch, now, at, WALL, width=120, glyphs=BRAILLE))


def test_what_changed_is_one_line() -> None:
    """What answers in place of what since when, and each figure before and now."""
    head, body = shown()
    assert head.startswith(" ◇ yolo-n 1.2.0/fp32 → 1.2.0/int8-static   14:30:56, 2m14s ago")
    for part in (
        "p50 12.0 → 4.62 ms",
        "p99 19.2 → 7.38 ms",
        "84 → 85 °C",
        "187 MiB → 64 MiB",
        "medians of 59 s and 48 s",
    ):
        assert part in body


def test_better_and_worse_are_told_apart_beyond_noise() -> None:
    """A few per cent are neither."""
    line = switch_lines.lines(SWITCH, NOW, 234.0, WALL, width=120, glyphs=BRAILLE)[1]
    roles = {text.split(" ")[0]: role for text, role in line}
    assert (roles["7.38"], roles["85"]) == ("ok", "text")
    worse = Figures(20.0, 40.0, 99.0, 1 << 30, 9.0)
    line = switch_lines.lines(SWITCH, worse, 234.0, WALL, width=120, glyphs=BRAILLE)[1]
    assert {role for text, role in line if text.startswith(("40.0", "99"))} == {"warn"}


def test_what_is_unknown_is_not_available() -> None:
    """No figure stands in for it."""
    unknown = Switch(100.0, "yolo-n", "", "yolo-n/1.2.0/int8", Figures())
    head, body = shown(unknown, Figures())
    assert " n/a → 1.2.0/int8" in head
    assert body.count("n/a → n/a") == 4
    assert "p99 n/a → 7.38 ms" in shown(unknown, NOW)[1]


def test_an_old_switch_is_no_news() -> None:
    """After an hour the line goes; without a switch there is none."""
    assert shown(at=100.0 + SHOWN_S + 1) == []
    assert shown(None) == []


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("width", [60, 80, 200])
def test_hostile_names_stay_in_their_line(text: str, width: int) -> None:
    """Whatever a device calls a bundle is escaped and cut."""
    switch = Switch(0.0, text, f"{text}/{text}", f"{text}/{text}", BEFORE)
    for line in switch_lines.lines(switch, NOW, 1.0, WALL, width=width, glyphs=BRAILLE):
        assert line_width(line) <= width
        assert all(char.isprintable() for char in texts([line])[0])


@pytest.mark.parametrize("glyphs", ALPHABETS.values(), ids=ALPHABETS)
def test_the_switch_is_marked_on_the_chart(glyphs: object) -> None:
    """With a shape of its own and the variant's name, where it happened on our clock."""
    assert isinstance(glyphs, type(BRAILLE))
    store, clock = switched()
    view = store.device("dock-0188")
    assert view is not None
    events = tuple(reversed(store.events("dock-0188")))
    (mark,) = [
        each
        for each in charts.marks(view, events, clock.now, glyphs)
        if each.shape == glyphs.switch
    ]
    assert (mark.label, abs(clock.now - 120.0 - mark.at) < 1.5) == ("int8-static", True)
    assert glyphs.switch not in glyphs.shapes.values()


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_the_device_screen_shows_it(size: tuple[int, int]) -> None:
    """Below the head; without a switch nothing takes its place."""
    app = make_app(switched(), refresh_hz=1)
    async with app.run_test(size=size) as pilot:
        await pilot.press("enter")
        await pilot.pause()
        app.tick()
        await pilot.pause()
        assert "◇ yolo-n 1.2.0/fp32 → 1.2.0/int8-static" in picture(app)
        assert "◇int8-static" in picture(app)
        assert "p99 20.8 → 7.67 ms   81 → 72 °C   187 MiB → 187 MiB" in picture(app)
    other = make_app(lab(), refresh_hz=1)
    async with other.run_test(size=size) as pilot:
        await pilot.press("enter")
        await pilot.pause()
        assert "◇" not in picture(other)
