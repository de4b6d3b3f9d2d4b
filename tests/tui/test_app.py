"""The app as a whole: life, prompt, pause, help, size, and the registry's promises."""

from __future__ import annotations

import asyncio

import pytest
from driving import burst, make_app, picture, rows_of
from fleets import CannedService, Clock, lab, wall_of

from edgeconsole.errors import StoreError
from edgeconsole.fleet.orders import OrderKind
from edgeconsole.fleet.store import FleetStore
from edgeconsole.tui.actions import (
    ACTIONS,
    MAIN,
    SETTLE_S,
    Action,
    ActionRegistry,
    Danger,
    TypeAheadGuard,
)
from edgeconsole.tui.app import EdgeConsoleApp
from edgeconsole.tui.glyphs import ROLES
from edgeconsole.tui.order_words import OrderRequest
from edgeconsole.tui.screens.device import DeviceScreen
from edgeconsole.tui.screens.fleet import FleetScreen
from edgeconsole.tui.screens.help import HelpScreen
from edgeconsole.tui.theme import ROLE_COLORS
from edgeconsole.tui.widgets.footer import Keys
from edgeconsole.tui.widgets.prompt import Prompt

PROBE = Action("probe", ("Z",), "change something", MAIN, "Test", danger=Danger.CHANGE)


def probed(fleet: tuple[FleetStore, Clock]) -> tuple[EdgeConsoleApp, list[str]]:
    """Return a console with a dangerous key, and what it did."""
    fired: list[str] = []
    app = make_app(
        fleet,
        registry=ActionRegistry((*ACTIONS, PROBE)),
        extra_handlers={"probe": lambda: fired.append("Z")},
    )
    return app, fired


async def test_the_service_lives_with_the_app() -> None:
    """It is started once and stopped once, whichever way the app ends."""
    store, clock = lab(10)
    service = CannedService(store)
    app = EdgeConsoleApp(service, wall_clock=wall_of(clock))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert (service.started, service.stopped) == (1, 0)
        await pilot.press("q")
    assert (service.started, service.stopped) == (1, 1)
    assert app.return_value == 0


@pytest.mark.parametrize("keys", [["q"], ["ctrl+c"], ["colon", "q", "enter"], ["slash", "ctrl+c"]])
async def test_ways_to_quit(keys: list[str]) -> None:
    """Every one of them ends with 0."""
    app = make_app(lab(5))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*keys)
        await pilot.pause()
    assert app.return_value == 0


@pytest.mark.parametrize(
    ("error", "part"),
    [
        (StoreError("history.db is locked", hint="is another console running?"), "is locked"),
        (OSError(28, "No space left on device"), "No space left"),
        (RuntimeError("[/nope]"), "RuntimeError: [/nope]"),
    ],
)
async def test_a_service_that_cannot_start_is_explained(error: Exception, part: str) -> None:
    """The screen stays, says why, and the service is stopped in the end."""

    class Failing(CannedService):
        async def start(self) -> None:
            raise error

    store, _ = lab(5)
    service = Failing(store)
    app = EdgeConsoleApp(service)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        assert part in picture(app)
        assert "dock-0188" in picture(app)
    assert service.stopped == 1


async def test_what_the_service_cannot_do_is_shown_while_it_cannot() -> None:
    """A full disk is on the screen until it is over."""
    store, clock = lab(5)
    service = CannedService(store)
    app = EdgeConsoleApp(service, wall_clock=wall_of(clock), refresh_hz=1)
    async with app.run_test(size=(80, 24)) as pilot:
        service.problem = "history.db: database or disk is full"
        app.tick()
        await pilot.pause()
        assert "disk is full" in picture(app)
        service.problem = ""
        app.tick()
        await pilot.pause()
        assert "disk is full" not in picture(app)


async def test_a_service_that_hangs_does_not_hold_the_console() -> None:
    """Leaving while it still starts cancels the start."""
    cancelled: list[bool] = []

    class Hanging(CannedService):
        async def start(self) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.append(True)

    store, _ = lab(5)
    app = EdgeConsoleApp(Hanging(store))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("q")
    assert cancelled == [True]


async def test_every_action_does_something_on_its_screens() -> None:
    """No row of the registry is without a handler, and no handler without a row."""
    app = make_app(lab(10))
    registry = app.state.registry
    async with app.run_test(size=(120, 40)) as pilot:
        for kind, open_screen in (
            ("fleet", None),
            ("device", lambda: app.open_device("dock-0188")),
            ("why", lambda: app.open_why("dock-0188")),
            ("audit", app.open_audit),
            ("jobs", app.open_jobs),
            ("job", lambda: app.open_job(("dock-0188", "job-3"))),
            ("help", app.open_help),
            ("confirm", lambda: app.ask_order(OrderRequest(OrderKind.RELEASE, ("dock-0188",)))),
        ):
            if open_screen is not None:
                await open_screen()
                await pilot.pause()
            handlers = set(app.handlers())
            assert {action.id for action in registry.on(kind)} <= handlers
            assert handlers <= {action.id for action in registry.actions}


async def test_the_filter_works_while_typing_and_stays_visible() -> None:
    """Each letter narrows the rows; Enter keeps the filter in the crumb line; Escape clears it."""
    app = make_app(lab(10))
    async with app.run_test(size=(120, 40)) as pilot:
        await burst(pilot, "slash", *"cart")
        await pilot.pause()
        assert set(rows_of(app)) == {"cart-0001", "cart-0002"}
        await pilot.press("enter")
        await pilot.pause()
        assert "/cart   2 of 10" in picture(app)
        await pilot.press("escape")
        await pilot.pause()
        assert len(rows_of(app)) == 10
        assert isinstance(app.screen, FleetScreen)


async def test_a_bad_term_is_explained_and_the_others_stay() -> None:
    """Nobody loses the rows over a typing error."""
    app = make_app(lab(10))
    async with app.run_test(size=(120, 40)) as pilot:
        await burst(pilot, "slash", *"cart tmep>7")
        await pilot.pause()
        assert "no key 'tmep'" in picture(app)
        assert len(rows_of(app)) == 2
        await pilot.press("enter")
        await pilot.pause()
        assert "no key 'tmep'" in picture(app)
        assert not app.screen.query_one(Prompt).has_class("-away")
        await pilot.press("escape")
        await pilot.pause()
        assert len(rows_of(app)) == 10
        assert "no key" not in picture(app)


async def test_filters_are_edited_and_remembered() -> None:
    """`/` opens on the filter that is set; ↑ and ↓ walk through earlier ones."""
    app = make_app(lab(10))
    async with app.run_test(size=(120, 40)) as pilot:
        await burst(pilot, "slash", *"cart", "enter")
        await burst(pilot, "slash", *"x", "backspace", "enter")
        assert app.state.filter.text == "cart"
        await burst(pilot, "slash", "ctrl+u", *"dock", "enter")
        await burst(pilot, "slash", "up", "up")
        assert app.screen.query_one(Prompt).line.value == "cart"
        await pilot.press("down", "down")
        assert app.screen.query_one(Prompt).line.value == ""


async def test_commands() -> None:
    """`:device`, `:fleet`, `:filter` and `:help` go where they say, from any screen."""
    app = make_app(lab(10))
    async with app.run_test(size=(120, 40)) as pilot:
        await burst(pilot, "colon", *"device cam-03", "enter")
        await pilot.pause()
        assert isinstance(app.screen, DeviceScreen)
        await burst(pilot, "colon", *"device cam-04", "enter")
        await pilot.pause()
        assert len(app.screen_stack) == 2
        await burst(pilot, "colon", *"fleet state=crit", "enter")
        await pilot.pause()
        assert isinstance(app.screen, FleetScreen)
        assert rows_of(app) == ["dock-0188"]
        await burst(pilot, "colon", *"filter", "enter")
        await pilot.pause()
        assert len(rows_of(app)) == 10
        await burst(pilot, "colon", "enter")
        await burst(pilot, "colon", *"help", "enter")
        assert isinstance(app.screen, HelpScreen)


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("devcie x", "did you mean device?"),
        ("device dock-188", "did you mean dock-0188?"),
        ("fleet temp>", "needs a number"),
    ],
)
async def test_wrong_commands_are_explained_in_place(line: str, part: str) -> None:
    """The prompt stays open with what was typed, so that it can be mended."""
    app = make_app(lab(10))
    async with app.run_test(size=(120, 40)) as pilot:
        await burst(pilot, "colon", *line, "enter")
        await pilot.pause()
        assert part in picture(app)
        prompt = app.screen.query_one(Prompt)
        assert prompt.line.value == line
        await pilot.press("backspace")
        await pilot.pause()
        assert part not in picture(app)
        await pilot.press("escape")
        await pilot.pause()
        assert prompt.has_class("-away")


async def test_tab_completes() -> None:
    """The dim suggestion is taken with Tab, verbs first, then devices."""
    app = make_app(lab(10))
    async with app.run_test(size=(120, 40)) as pilot:
        await burst(pilot, "colon", *"de")
        await pilot.pause()
        assert ":device" in picture(app)
        await pilot.press("tab", *"do", "tab", "enter")
        await pilot.pause()
        assert isinstance(app.screen, DeviceScreen)
        assert app.screen.device_id == "dock-0188"


async def test_pause_freezes_the_view_and_not_the_data() -> None:
    """While paused the picture stays, also for a device opened meanwhile; then it catches up."""
    store, clock = lab(30)
    app = make_app((store, clock), refresh_hz=1)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("p")
        clock.now += 72
        app.tick()
        await pilot.pause()
        assert "PAUSED 01:12" in picture(app)
        assert app.state.frame.by_id["dock-0188"].age_s == pytest.approx(0)
        await pilot.press("enter")
        await pilot.pause()
        assert "link live" in picture(app)
        await pilot.press("p")
        await pilot.pause()
        assert "PAUSED" not in picture(app)
        assert "gone" in picture(app)


async def test_the_rate_stays_within_bounds() -> None:
    """`+` and `-` go from 1 to 10 times a second and the crumb line shows it."""
    app = make_app(lab(5))
    async with app.run_test(size=(120, 40)) as pilot:
        await burst(pilot, *["plus"] * 9)
        await pilot.pause()
        assert app.state.refresh_hz == 10
        assert "10 Hz" in picture(app)
        await burst(pilot, *["minus"] * 12)
        await pilot.pause()
        assert app.state.refresh_hz == 1
        assert "1 Hz" in picture(app)


async def test_the_help_lists_every_action_and_closes() -> None:
    """It is made from the registry, scrolls, and goes away with the keys people try."""
    app, _ = probed(lab(5))
    async with app.run_test(size=(120, 80)) as pilot:
        await pilot.press("question_mark")
        await pilot.pause()
        text = picture(app)
        for action in (*ACTIONS, PROBE):
            if action.id != "close":
                assert action.title in text
        assert ":device NAME" in text
        assert "state=crit" in text
        for key in ("escape", "q", "question_mark", "enter"):
            await pilot.press("j", "k", "G", "g", "ctrl+f", "ctrl+b", key)
            await pilot.pause()
            assert isinstance(app.screen, FleetScreen)
            await pilot.press("question_mark")
        assert isinstance(app.screen, HelpScreen)


async def test_the_view_goes_on_behind_the_help() -> None:
    """Reading the help does not stop the clock."""
    store, clock = lab(5)
    app = make_app((store, clock))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("question_mark")
        clock.now += 7
        app.tick()
        await pilot.pause()
        assert "14:33:17" in picture(app)


async def test_keys_in_the_footer_can_be_clicked() -> None:
    """The footer is a row of buttons."""
    app = make_app(lab(5))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        place = picture(app).splitlines()[-1].index("Help")
        await pilot.click(Keys, offset=(place, 0))
        await pilot.pause()
        assert isinstance(app.screen, HelpScreen)


@pytest.mark.parametrize("size", [(59, 24), (80, 15), (20, 3)])
async def test_a_small_terminal_says_what_is_needed(size: tuple[int, int]) -> None:
    """Both sizes are named, and growing brings the console back."""
    app = make_app(lab(5))
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        assert "dock-0188" not in picture(app)
        if size[0] > 30:
            assert f"{size[0]}x{size[1]}" in picture(app)
            assert "60x16" in picture(app)
        await pilot.resize_terminal(100, 30)
        await pilot.pause(0.4)
        assert "dock-0188" in picture(app)


@pytest.mark.parametrize("glyphs", ["braille", "block", "ascii"])
async def test_alphabets(glyphs: str) -> None:
    """Each one draws both screens; ascii uses nothing else for its own parts."""
    app = make_app(lab(60), glyphs=glyphs)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        text = picture(app)
        await pilot.press("enter")
        await pilot.pause()
        text += picture(app)
        # The scrollbar is Textual's.
        others = {char for char in text if not char.isascii()} - set("▁▂▃▄▅▆▇█")
        assert bool(others) is (glyphs != "ascii")


async def test_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    """With NO_COLOR no cell has a hue."""
    monkeypatch.setenv("NO_COLOR", "1")
    app = make_app(lab(10))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        svg = app.export_screenshot()
    assert "#ff6159" not in svg


def test_every_role_has_a_colour() -> None:
    """A role without one would fail only when it is first drawn."""
    assert {f"ec-{role}" for role in ROLES} <= set(ROLE_COLORS)


async def test_other_themes_have_the_role_colours() -> None:
    """A theme that knows nothing of us still tells critical from failsafe."""
    app = make_app(lab(10))
    async with app.run_test(size=(120, 40)) as pilot:
        app.theme = "textual-light"
        await pilot.pause()
        assert "dock-0188" in picture(app)
        variables = app.get_css_variables()
        assert variables["ec-crit"] != variables["ec-failsafe"]


@pytest.mark.parametrize("sign", ["colon", "slash"])
async def test_letters_behind_a_prompt_key_fire_nothing(sign: str) -> None:
    """Whatever is typed after `:` or `/` is text."""
    app, fired = probed(lab(5))
    async with app.run_test(size=(120, 40)) as pilot:
        await burst(pilot, sign, *"Zqzp")
        await pilot.pause()
        assert app.screen.query_one(Prompt).line.value == "Zqzp"
        assert not fired
        assert app.is_running


async def test_a_dangerous_key_waits_until_the_screen_was_seen() -> None:
    """Right after a screen opened it is refused, a moment later it works."""
    app, fired = probed(lab(5))
    now_s = 100.0
    # A clock of its own: on a busy machine the keys below take longer than the wait itself.
    app.state.guard = TypeAheadGuard(lambda: now_s)
    async with app.run_test(size=(120, 40)) as pilot:
        now_s += SETTLE_S
        await pilot.press("Z")
        assert fired == ["Z"]
        await pilot.press("enter", "Z", "escape", "Z", "question_mark", "Z", "escape", "Z")
        assert fired == ["Z"]
        now_s += SETTLE_S
        await pilot.press("Z")
        assert fired == ["Z", "Z"]
