"""What keys do to stored bundles: asked first, done once, where it can be, never by accident."""

from __future__ import annotations

from itertools import count

import msgspec
import pytest
from canned_jobs import BEST, BUNDLE
from canned_models import FOUND, OTHER, TINY, CannedModels, said
from driving import burst, make_app, picture, texts
from fleets import HOSTILE, CannedDesk, lab
from textual.pilot import Pilot

from edgeconsole.fleet.blast import blast
from edgeconsole.fleet.model_desk import DeviceModels
from edgeconsole.fleet.orders import OrderKind, Outcome
from edgeconsole.fleet.tasks import ActivateTask, OptimizeTask, RemoveTask, RollBackTask
from edgeconsole.tui import model_acts, model_lines
from edgeconsole.tui.actions import SETTLE_S, TypeAheadGuard
from edgeconsole.tui.app import EdgeConsoleApp
from edgeconsole.tui.model_acts import ModelAct, ModelRequest
from edgeconsole.tui.runs import line_width
from edgeconsole.tui.screens.confirm_model import ModelConfirmScreen
from edgeconsole.tui.screens.models import ModelScreen, ModelsScreen
from edgeconsole.tui.screens.optimize import OptimizeScreen

FP32_SEEN = "sha256:" + "a" * 64
"""What the lab's devices say answers."""


def make(devices: list[DeviceModels] | None = None) -> tuple[EdgeConsoleApp, CannedDesk]:
    """Return a console whose keys all come after everything could be seen, and who takes orders."""
    app = make_app(lab(10), refresh_hz=1)
    app.state.guard = TypeAheadGuard(count(-1e6).__next__)
    desk, models = app.service.desk, app.service.models
    assert isinstance(desk, CannedDesk)
    assert isinstance(models, CannedModels)
    if devices is not None:
        models.said = devices
    return app, desk


async def press(pilot: Pilot[int], *keys: str) -> None:
    """Press keys and let what they began come to its end."""
    for key in keys:
        await pilot.press(key)
        await pilot.pause()
        await pilot.pause()


def asked(act: ModelAct, digest: str, devices: list[DeviceModels] | None = None) -> object:
    """Return what a key on a bundle asks for, or why there is nothing to do."""
    devices = said() if devices is None else devices
    rows = model_lines.rows(devices)
    (chosen,) = [row for row in rows if row.bundle.digest == digest]
    return model_acts.ask(act, chosen, devices, rows)


def request(act: ModelAct, digest: str, devices: list[DeviceModels] | None = None) -> ModelRequest:
    """Return what a key on a bundle asks for."""
    found = asked(act, digest, devices)
    assert isinstance(found, ModelRequest)
    return found


@pytest.mark.parametrize("opened", [(), ("enter",)])
@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_a_bundle_is_activated_where_it_lies(
    opened: tuple[str, ...], size: tuple[int, int]
) -> None:
    """From the list and from the model's page: what would answer in place of what, and the command."""
    app, desk = make()
    async with app.run_test(size=size) as pilot:
        await press(pilot, "3", "j", *opened, "A")
        assert isinstance(app.screen, ModelConfirmScreen)
        shown = picture(app)
        assert "yolo-n/1.2.0/int8-static" in shown
        assert "in place of yolo-n/1.2.0/fp32" in shown
        assert "edgeconsole activate dock-0188 yolo-n/1.2.0/int8-static" in shown
        assert "not on cart-0001, cart-0002: it answers there already" in shown
        assert "not on gate-0020: it is not in the store" in shown
        assert desk.given == []
        desk.detail = "yolo-n/1.2.0/int8-static is active"
        await press(pilot, "Y")
        ((intent, devices),) = desk.given
        assert (intent.kind, devices) == (OrderKind.ACTIVATE, ("dock-0188",))
        order = intent.order("dock-0188", "ws://x", 1.0)
        assert order.task == ActivateTask("yolo-n", "1.2.0", "int8-static", BEST.digest, FP32_SEEN)
        assert "dock-0188: yolo-n/1.2.0/int8-static is active" in picture(app)


async def test_the_recommendation_is_one_key() -> None:
    """`D` on any bundle of the model activates what its newest job recommends, with its figures."""
    app, desk = make()
    async with app.run_test(size=(120, 40)) as pilot:
        await press(pilot, "3", "j", "j", "D")
        shown = picture(app)
        assert "yolo-n/1.2.0/int8-static" in shown
        assert "p99 7.38 ms, 2.6 ×" in shown
        assert "measured on dock-0188" in shown
        await press(pilot, "Y")
        ((intent, devices),) = desk.given
        assert isinstance(intent.task, ActivateTask)
        assert (intent.task.digest, devices) == (BEST.digest, ("dock-0188",))


async def test_a_roll_back_names_what_it_was_decided_on() -> None:
    """Only where the bundle answers; several devices need a reason, and it is kept."""
    app, desk = make()
    async with app.run_test(size=(120, 40)) as pilot:
        await press(pilot, "3", "j", "R", "Y")
        assert desk.given == []
        assert "say why: it reaches more than one device" in picture(app)
        await press(pilot, *"slow", "tab", "enter")
        ((intent, devices),) = desk.given
        assert (intent.kind, intent.reason) == (OrderKind.ROLL_BACK, "slow")
        assert intent.task == RollBackTask("yolo-n", BEST.digest)
        assert devices == ("cart-0001", "cart-0002")


async def test_a_bundle_is_removed_where_nothing_needs_it() -> None:
    """Where something does, it says what; the order names the very bundle."""
    first, second, *rest = said()
    needed = msgspec.structs.replace(second.models[0], needed="it is loaded")
    second = msgspec.structs.replace(second, models=(needed, *second.models[1:]))
    app, desk = make([first, second, *rest])
    async with app.run_test(size=(120, 40)) as pilot:
        await press(pilot, "3", "j", "j", "X")
        assert "not on cart-0001: it is loaded" in picture(app)
        await press(pilot, "Y")
        ((intent, devices),) = desk.given
        assert (intent.kind, devices) == (OrderKind.REMOVE, ("dock-0188",))
        assert intent.task == RemoveTask(BUNDLE.key, BUNDLE.digest)


@pytest.mark.parametrize("opened", [(), ("enter",)])
async def test_the_form_is_about_the_chosen_bundle(opened: tuple[str, ...]) -> None:
    """A stored one by its key, on a device that has it."""
    app, desk = make()
    async with app.run_test(size=(120, 40)) as pilot:
        await press(pilot, "3", "j", "j", "j", "j", *opened, "O")
        assert isinstance(app.screen, OptimizeScreen)
        assert ":optimize yolo-n/1.2.0/fused --on dock-0188" in picture(app)
        await press(pilot, "Y")
        ((intent, devices),) = desk.given
        assert isinstance(intent.task, OptimizeTask)
        assert (intent.task.digest, devices) == (OTHER, ("dock-0188",))


async def test_the_cursor_moves_over_the_bundles_and_then_the_text_scrolls() -> None:
    """On a model's page; what is below the last bundle can be read, and the way back is the same."""
    app, _ = make()
    async with app.run_test(size=(80, 24)) as pilot:
        await press(pilot, "3", "j", "enter")
        screen = app.screen
        assert isinstance(screen, ModelScreen)
        assert screen.selected == BEST.digest
        await press(pilot, "j", "j", "j")
        assert (screen.selected, screen.body.scroll_y) == (OTHER, 0)
        await press(pilot, *["j"] * 8)
        assert screen.selected == OTHER
        assert screen.body.scroll_y == 8
        await press(pilot, *["k"] * 7)
        assert screen.selected == BEST.digest
        assert screen.body.scroll_y <= 1


@pytest.mark.parametrize(
    ("act", "digest", "why"),
    [
        (ModelAct.ACTIVATE, "9" * 64, "yolo-n/1.2.0/fp16 on dock-0188: it is not in the store"),
        (ModelAct.ROLL_BACK, OTHER, "yolo-n/1.2.0/fused answers nowhere"),
        (ModelAct.ROLL_BACK, "9" * 64, "it cannot be asked now: no answer to ping"),
        (ModelAct.REMOVE, "9" * 64, "it cannot be asked now: no answer to ping"),
        (ModelAct.DEPLOY, TINY, "no job has measured tiny so far; O orders one"),
    ],
)
def test_where_there_is_nothing_to_do_it_is_said(act: ModelAct, digest: str, why: str) -> None:
    """No dialog about what answers already, answers nowhere, is away, or was never measured."""
    found = asked(act, digest)
    assert isinstance(found, str)
    assert why in found


def test_a_recommendation_that_is_gone_is_said() -> None:
    """One that was removed, and a job that recommends nothing, are no bundle to activate."""
    nothing = msgspec.structs.replace(
        FOUND,
        measured={
            digest: msgspec.structs.replace(each, recommended=False)
            for digest, each in FOUND.measured.items()
        },
    )
    first, *rest = said()
    for changed in (
        msgspec.structs.replace(first, findings=(nothing,)),
        msgspec.structs.replace(
            first, models=tuple(each for each in first.models if each.digest != BEST.digest)
        ),
    ):
        devices = [changed, *(each for each in rest if each.device_id == "gate-0020")]
        found = asked(ModelAct.DEPLOY, BUNDLE.digest, devices)
        assert found == "job-3 on dock-0188 recommends nothing that is still in a store"


async def test_a_refusal_opens_no_dialog() -> None:
    """The reason is told where outcomes are told."""
    app, desk = make()
    async with app.run_test(size=(120, 40)) as pilot:
        await press(pilot, "3", "A")
        assert isinstance(app.screen, ModelConfirmScreen)  # tiny answers nowhere
        await press(pilot, "escape", "R")
        assert isinstance(app.screen, ModelsScreen)
        assert "tiny/1.2.0/int8 answers nowhere" in picture(app)
        assert desk.given == []


def test_each_device_is_told_what_was_seen_on_it() -> None:
    """One order for many devices: on each it takes the place only of what answered there."""
    fleet, _ = lab(10)
    views = [view for name in ("dock-0188", "cart-0001") if (view := fleet.device(name))]
    other = msgspec.structs.replace(views[1].sample.models[0], digest="7" * 64)  # type: ignore[union-attr]
    views[1] = msgspec.structs.replace(
        views[1],
        sample=msgspec.structs.replace(views[1].sample, models=(other,)),  # type: ignore[type-var]
    )
    wish = model_acts.intent(
        request(ModelAct.ACTIVATE, BEST.digest), views, ("c" * 32, "kim"), "why"
    )
    tasks = [wish.order(name, "ws://x", 1.0).task for name in ("dock-0188", "cart-0001", "cam-05")]
    assert [each.expected for each in tasks if isinstance(each, ActivateTask)] == [
        FP32_SEEN,
        "7" * 64,
        "",
    ]


async def test_what_the_device_refuses_is_said() -> None:
    """The screen says that it was not done, and why."""
    app, desk = make()
    async with app.run_test(size=(80, 24)) as pilot:
        await press(pilot, "3", "j", "A")
        desk.outcome, desk.detail = Outcome.REFUSED, "golden self-test failed"
        await press(pilot, "Y")
        assert "dock-0188: not done: golden self-test failed" in picture(app)


@pytest.mark.parametrize("no", [("escape",), ("enter",), ("tab", "tab", "tab", "enter")])
async def test_leaving_the_dialog_does_nothing(no: tuple[str, ...]) -> None:
    """Escape, and the button that has the keyboard when it opens."""
    app, desk = make()
    async with app.run_test(size=(80, 24)) as pilot:
        await press(pilot, "3", "j", "A", *no)
        assert isinstance(app.screen, ModelsScreen)
        assert desk.given == []


@pytest.mark.parametrize("key", ["A", "D", "R", "X"])
async def test_what_is_typed_behind_the_key_does_nothing(key: str) -> None:
    """All of it was there before the dialog could be seen, so none of it can mean yes."""
    app = make_app(lab(10), refresh_hz=1)
    desk = app.service.desk
    assert isinstance(desk, CannedDesk)
    async with app.run_test(size=(80, 24)) as pilot:
        await press(pilot, "3", "j")
        await pilot.pause(SETTLE_S + 0.1)
        await burst(pilot, key, *"YY", "tab", "enter", "Y")
        await pilot.pause(SETTLE_S + 0.1)
        assert desk.given == []


@pytest.mark.parametrize("act", list(ModelAct))
@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_stay_in_their_line(text: str, act: ModelAct) -> None:
    """Whatever a device writes is escaped and cut to the dialog's width."""
    fleet, _ = lab(10)
    found = request(ModelAct.ACTIVATE, BEST.digest)
    bundle = msgspec.structs.replace(found.row.bundle, model=text, version=text, variant=text)
    row = model_lines.Row(bundle, [text], [text], True, found.row.measured, text)
    hostile = ModelRequest(act, row, (text, "b"), (("c", text), (text, "why")))
    views = list(fleet.devices())
    reach = blast(model_acts.KINDS[act], text, views, views)
    for line in model_acts.what(hostile, reach, views, 60):
        assert line_width(line) <= 60
        assert all(char.isprintable() for char in texts([line])[0])
