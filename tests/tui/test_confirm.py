"""Orders from the console: what it takes to give one, and that nothing gives one by accident."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from driving import burst, make_app, picture
from fleets import CannedDesk, Clock, fallen, hostile, lab
from textual.pilot import Pilot
from textual.widgets import Input

from edgeconsole.fleet.orders import NO_REASON, OrderKind, Outcome
from edgeconsole.fleet.store import FleetStore
from edgeconsole.tui.actions import SETTLE_S, TypeAheadGuard
from edgeconsole.tui.app import EdgeConsoleApp
from edgeconsole.tui.screens.confirm import ConfirmScreen
from edgeconsole.tui.screens.fleet import FleetScreen


class Calm:
    """A guard whose time passes when told: on a busy machine keys take longer than the wait."""

    def __init__(self, app: EdgeConsoleApp) -> None:
        self.now = 0.0
        app.state.guard = TypeAheadGuard(lambda: self.now)

    def __call__(self) -> None:
        """Let everybody see the screen."""
        self.now += SETTLE_S


@asynccontextmanager
async def console(
    fleet: tuple[FleetStore, Clock], size: tuple[int, int] = (120, 40)
) -> AsyncIterator[tuple[EdgeConsoleApp, Pilot[Any], Calm, CannedDesk]]:
    """Run a console that has been looked at."""
    app = make_app(fleet, refresh_hz=1)
    calm = Calm(app)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        calm()
        assert isinstance(app.service.desk, CannedDesk)
        yield app, pilot, calm, app.service.desk


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("F", OrderKind.FAILSAFE_ON),
        ("B", OrderKind.FALLBACK_ON),
        ("R", OrderKind.RELEASE),
    ],
)
@pytest.mark.parametrize("before", [[], ["enter"], ["e"]])
async def test_a_key_and_a_key_give_an_order(key: str, kind: OrderKind, before: list[str]) -> None:
    """On the fleet, a device and its Why screen: the key asks, `Y` gives it for that device."""
    async with console(fallen(30)) as (app, pilot, calm, desk):
        await pilot.press(*before)
        await pilot.pause()
        calm()
        await pilot.press(key)
        await pilot.pause()
        assert isinstance(app.screen, ConfirmScreen)
        assert desk.given == []
        assert f":{kind.value} dock-0188" in picture(app)
        calm()
        await pilot.press("Y")
        await pilot.pause()
        (intent, devices) = desk.given[0]
        assert (intent.kind, devices, intent.reason) == (kind, ("dock-0188",), NO_REASON)
        assert intent.hold_s == (None if kind is OrderKind.RELEASE else 1800)
        assert len(intent.command_id) == 32
        assert "@" in intent.actor
        await pilot.pause()
        assert f"{kind.value}: 1 acknowledged" in picture(app)


@pytest.mark.parametrize("before", [[], ["enter"], ["e"]])
async def test_a_key_sets_the_thermal_state(before: list[str]) -> None:
    """On the fleet, a device and its Why screen `T` asks, and the state is a field of the dialog."""
    async with console(fallen(30)) as (app, pilot, calm, desk):
        await pilot.press(*before)
        await pilot.pause()
        calm()
        await pilot.press("T")
        await pilot.pause()
        text = picture(app)
        assert ":thermal dock-0188 --state hot --for 30m" in text
        assert "Half of the usual rate at most" in text
        assert "model all" not in text
        await burst(
            pilot, "tab", "ctrl+u", *"warm", "tab", *"a demo", "tab", "ctrl+u", *"10m", "tab"
        )
        await pilot.pause()
        text = picture(app)
        assert "Jobs wait, batches are halved" in text
        assert ":thermal dock-0188 --state warm --for 10m --reason 'a demo'" in text
        assert desk.given == []
        desk.detail = "warm is forced for 600 s, but the device is critical and ignores it"
        calm()
        await pilot.press("Y")
        await pilot.pause()
        ((intent, devices),) = desk.given
        assert (intent.kind, devices) == (OrderKind.THERMAL_WARM, ("dock-0188",))
        assert (intent.hold_s, intent.reason) == (600, "a demo")
        await pilot.pause()
        assert f"dock-0188: {desk.detail}" in picture(app)


async def test_the_same_key_lets_the_thermal_state_go() -> None:
    """`release` in the field of the state needs no time; what is no state is explained there."""
    async with console(fallen(30)) as (app, pilot, calm, desk):
        await pilot.press("T")
        await pilot.pause()
        calm()
        await burst(pilot, "tab", "ctrl+u", *"tepid", "Y")
        await pilot.press("tab", "tab", "tab", "enter")
        await pilot.pause()
        assert "no state 'tepidY' to force" in picture(app)
        assert app.focused is not None
        assert app.focused.id == "state"
        await burst(pilot, "ctrl+u", *"release")
        await pilot.pause()
        text = picture(app)
        assert ":thermal dock-0188 --release" in text
        assert "--for" not in text
        assert "the device's own policy decides" in text
        await pilot.press("tab", "tab", "tab", "enter")
        await pilot.pause()
        ((intent, _),) = desk.given
        assert (intent.kind, intent.hold_s) == (OrderKind.THERMAL_RELEASE, None)


async def test_a_thermal_command_fills_the_dialog_in() -> None:
    """`:thermal … --state` asks with its words in the fields; `--release` asks for no state and no time."""
    async with console(fallen(30)) as (app, pilot, calm, desk):
        line = "thermal CART-0001 --state critical --for 10m --reason 'the fan is out'"
        await burst(pilot, "colon", *line, "enter")
        await pilot.pause()
        values = [field.value for field in app.screen.query(Input)]
        assert values == ["critical", "the fan is out", "10m"]
        assert "No model is asked" in picture(app)
        calm()
        await pilot.press("escape")
        await pilot.pause()
        await burst(pilot, "colon", *"thermal cart-0001 --release", "enter")
        await pilot.pause()
        assert [field.value for field in app.screen.query(Input)] == [""]
        assert "Release the thermal state" in picture(app)
        calm()
        await pilot.press("Y")
        await pilot.pause()
        ((intent, devices),) = desk.given
        assert (intent.kind, devices) == (OrderKind.THERMAL_RELEASE, ("cart-0001",))


@pytest.mark.parametrize("keys", [["enter"], ["escape"], ["tab", "tab", "escape"], ["n"], ["y"]])
async def test_the_focus_is_on_cancel(keys: list[str]) -> None:
    """Enter and Escape leave it; a lower-case letter does nothing at all."""
    async with console(fallen(30)) as (app, pilot, calm, desk):
        await pilot.press("F")
        await pilot.pause()
        calm()
        await pilot.press(*keys)
        await pilot.pause()
        assert isinstance(app.screen, ConfirmScreen) is (keys in (["n"], ["y"]))
        assert desk.given == []


async def test_each_intent_has_an_id_of_its_own() -> None:
    """Two orders for the same are two; one that is confirmed twice is one."""
    async with console(fallen(30)) as (app, pilot, calm, desk):
        for _ in range(2):
            await pilot.press("F")
            await pilot.pause()
            calm()
            screen = app.screen
            assert isinstance(screen, ConfirmScreen)
            screen._finish()
            screen._finish()
            await pilot.pause()
            calm()
        assert len({intent.command_id for intent, _ in desk.given}) == len(desk.given) == 2


@pytest.mark.parametrize(
    "behind",
    ["Y", "YYYY", "smoke", "\t\t\t\rY", "\tsmoke\t\t\rYY", "\x1bY", "xFBRY"],
)
@pytest.mark.parametrize("key", ["F", "B", "R", "T"])
async def test_what_is_typed_behind_the_key_gives_nothing(key: str, behind: str) -> None:
    """All of it was there before the dialog could be seen, so none of it can mean yes."""
    names = {"\t": "tab", "\r": "enter", "\x1b": "escape"}
    app = make_app(fallen(30), refresh_hz=1)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(SETTLE_S + 0.1)
        await burst(pilot, key, *(names.get(char, char) for char in behind))
        await pilot.pause(SETTLE_S + 0.2)
        assert isinstance(app.service.desk, CannedDesk)
        assert app.service.desk.given == []
        assert app.is_running


async def test_many_keys_take_long_and_still_give_nothing() -> None:
    """A key counts from when it was pressed: a burst that takes a second to work off is no wait."""
    async with console(fallen(30)) as (app, pilot, calm, desk):
        await pilot.press("F")
        await pilot.pause()
        typed_at = calm.now
        calm.now += 10
        app.state.guard.pressed(typed_at)
        app.screen._confirm()
        await pilot.pause()
        assert desk.given == []
        assert "nothing was done" in picture(app)


async def test_several_devices_need_a_reason() -> None:
    """With marks the dialog says how many where; without a reason it asks for one."""
    async with console(lab(30)) as (app, pilot, calm, desk):
        await pilot.press("space", "j", "space", "F")
        await pilot.pause()
        calm()
        text = picture(app)
        assert "2 devices   lyon 1, nantes 1   model all" in text
        await pilot.press("Y")
        await pilot.pause()
        assert "say why: it reaches more than one device" in picture(app)
        assert desk.given == []
        await burst(pilot, *"smoke in hall 2", "tab", "tab")
        assert app.focused is not None
        assert app.focused.id == "give"
        assert "--reason 'smoke in hall 2'" in picture(app)
        await pilot.press("enter")
        await pilot.pause()
        ((intent, devices),) = desk.given
        assert intent.reason == "smoke in hall 2"
        assert devices == ("dock-0188", "line-0064")


async def test_a_large_reach_needs_the_number() -> None:
    """More than a quarter of the fleet: the number of devices has to be typed, and be right."""
    async with console(lab(30)) as (app, pilot, calm, desk):
        await pilot.press(*["space", "j"] * 3, "F")
        await pilot.pause()
        calm()
        assert "This reaches 3 of 10 devices." in picture(app)
        await burst(pilot, "tab", *"smoke", "tab", "tab", *"33", "tab", "enter")
        await pilot.pause()
        assert "type 3: it reaches 3 of 10 devices" in picture(app)
        assert desk.given == []
        await burst(pilot, "backspace", "tab", "enter")
        await pilot.pause()
        assert len(desk.given) == 1


async def test_marks_out_of_sight_are_counted() -> None:
    """A mark stays while a filter hides its row: the dialog says how many such there are."""
    async with console(lab(30)) as (app, pilot, calm, _):
        await pilot.press("space", "j", "space")
        await burst(pilot, "slash", *"line", "enter")
        await pilot.pause()
        calm()
        await pilot.press("F")
        await pilot.pause()
        assert "1 of them not in sight: they do not pass the filter" in picture(app)


async def test_a_time_that_is_none_is_explained() -> None:
    """The field has the keyboard again, and the end is shown once it can be read."""
    async with console(fallen(30)) as (app, pilot, calm, desk):
        await pilot.press("F")
        await pilot.pause()
        calm()
        await burst(pilot, "tab", "tab", "ctrl+u", *"soon", "tab", "enter")
        await pilot.pause()
        assert "'soon' is not a time" in picture(app)
        assert app.focused is not None
        assert app.focused.id == "for"
        assert desk.given == []
        await burst(pilot, "ctrl+u", *"1h")
        await pilot.pause()
        assert "until 15:33:10" in picture(app)
        await pilot.press("tab", "enter")
        await pilot.pause()
        assert desk.given[0][0].hold_s == 3600


async def test_letters_before_the_key_are_not_lost() -> None:
    """A reason typed fast, with the key right behind it, arrives whole."""
    async with console(fallen(30)) as (_, pilot, calm, desk):
        await pilot.press("F")
        await pilot.pause()
        calm()
        await burst(pilot, "tab", *"smoke in hall 2 and a lot more", "tab", "tab", "Y")
        await pilot.pause()
        assert desk.given[0][0].reason == "smoke in hall 2 and a lot more"


async def test_offline_and_lacking_devices_are_named() -> None:
    """Who is queued, who has no such rung and who is held by somebody is said before the order."""
    async with console(fallen(30)) as (app, pilot, calm, _):
        await burst(pilot, "colon", *"failsafe on gate-0020 line-0056", "enter")
        await pilot.pause()
        text = picture(app)
        assert "1 offline, queued for up to 30m: gate-0020" in text
        assert "line-0056: failsafe by kim@desk is replaced" in text
        assert "This reaches every device of nantes." in text
        assert "type 2 to confirm" in text
        calm()
        await pilot.press("escape")
        await pilot.pause()
        assert isinstance(app.screen, FleetScreen)


async def test_a_paused_view_does_not_hide_that_a_device_is_gone() -> None:
    """The dialog looks at the device as it is now, not as the frozen picture has it."""
    from edgeconsole.fleet.store import LinkState

    store, clock = fallen(30)
    async with console((store, clock)) as (app, pilot, _, __):
        await pilot.press("p")
        store.set_link("dock-0188", LinkState.WAITING, "no answer")
        await pilot.press("F")
        await pilot.pause()
        assert "1 offline" in picture(app)


async def test_a_command_fills_the_dialog_in() -> None:
    """`:failsafe on … --model --for --reason` asks as the key does, with its words in the fields."""
    async with console(fallen(30)) as (app, pilot, calm, desk):
        line = "failsafe on CART-0001 --model yolo-n --for 10m --reason 'it is hot'"
        await burst(pilot, "colon", *line, "enter", "Y")
        await pilot.pause()
        assert desk.given == []
        values = [field.value for field in app.screen.query(Input)]
        assert values == ["it is hot", "10m"]
        calm()
        await pilot.press("Y")
        await pilot.pause()
        ((intent, devices),) = desk.given
        assert (devices, intent.model, intent.hold_s) == (("cart-0001",), "yolo-n", 600)


@pytest.mark.parametrize(
    ("outcome", "detail", "part"),
    [
        (Outcome.QUEUED, "", "failsafe on: 1 queued"),
        (Outcome.REFUSED, "no static answer", "1 refused; dock-0188: no static answer"),
        (Outcome.EXPIRED, "too late", "1 expired; dock-0188: too late"),
    ],
)
async def test_what_became_of_it_is_told(outcome: Outcome, detail: str, part: str) -> None:
    """The outcome is shown on whatever screen one is, the worst in its own words."""
    async with console(fallen(30)) as (app, pilot, calm, desk):
        desk.outcome, desk.detail = outcome, detail
        await pilot.press("F")
        await pilot.pause()
        calm()
        await pilot.press("Y")
        await pilot.pause()
        await pilot.pause()
        assert part in picture(app)


async def test_an_order_that_cannot_be_written_down_is_said() -> None:
    """Nothing was ordered, and the reason is on the screen."""
    async with console(fallen(30)) as (app, pilot, calm, desk):
        desk.broken = "history.db: disk full"
        await pilot.press("F")
        await pilot.pause()
        calm()
        await pilot.press("Y")
        await pilot.pause()
        assert "nothing was ordered: history.db: disk full" in picture(app)


async def test_nothing_is_asked_without_a_device() -> None:
    """On an empty fleet, or the audit, there is nothing to order."""
    from fleets import empty

    async with console(empty()) as (app, pilot, _, __):
        await pilot.press("F")
        await pilot.pause()
        assert isinstance(app.screen, FleetScreen)
    async with console(fallen(5)) as (app, pilot, calm, _):
        await burst(pilot, "colon", *"audit", "enter")
        await pilot.pause()
        calm()
        await pilot.press("F")
        await burst(pilot, "colon", *"release", "enter")
        await pilot.pause()
        assert not isinstance(app.screen, ConfirmScreen)
        assert "name the devices" in picture(app)


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (200, 60)])
async def test_the_dialog_fits_with_hostile_names(size: tuple[int, int]) -> None:
    """Names are data, whatever they contain; the buttons stay reachable."""
    async with console(hostile(), size) as (app, pilot, calm, desk):
        await pilot.press("space", "j", "space", "F")
        await pilot.pause()
        calm()
        await pilot.press("tab", "a", "tab", "tab", "Y")
        await pilot.pause()
        assert "\x1b" not in picture(app)
        assert len(desk.given) == 1


async def test_the_buttons_can_be_clicked() -> None:
    """With the mouse as with the keys."""
    async with console(fallen(30)) as (app, pilot, calm, desk):
        for button, count in (("#cancel", 0), ("#give", 1)):
            await pilot.press("F")
            await pilot.pause()
            calm()
            await pilot.click(button)
            await pilot.pause()
            assert not isinstance(app.screen, ConfirmScreen)
            assert len(desk.given) == count
            calm()
