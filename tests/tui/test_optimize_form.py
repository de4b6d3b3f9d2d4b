"""The optimise form: its words are the verb's, each field is checked, the plan is true, one order."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace
from itertools import count

import msgspec
import pytest
from canned_jobs import BEST, QUEUED, CannedJobs
from canned_models import bundle, said
from driving import burst, make_app, picture, texts
from fleets import HOSTILE, CannedDesk, fallen, lab
from textual.pilot import Pilot

from edgeconsole.fleet.blast import blast
from edgeconsole.fleet.job_desk import DeviceJobs
from edgeconsole.fleet.orders import NO_REASON, OrderKind
from edgeconsole.fleet.tasks import OptimizeTask
from edgeconsole.optimization_options import Asked
from edgeconsole.protocol.optimization import Constraints, Objective
from edgeconsole.specs import ModelOptimizationLevel
from edgeconsole.tui import optimize_form
from edgeconsole.tui.actions import SETTLE_S, TypeAheadGuard
from edgeconsole.tui.app import EdgeConsoleApp
from edgeconsole.tui.command_error import CommandError
from edgeconsole.tui.glyphs import BRAILLE
from edgeconsole.tui.optimize_words import OptimizeRequest, parse_optimize
from edgeconsole.tui.runs import line_width
from edgeconsole.tui.screens.jobs import JobsScreen
from edgeconsole.tui.screens.optimize import OptimizeScreen
from edgeconsole.tui.widgets.painted import Lines

DEVICES = ("dock-0188", "cart-0001", "cart-0002", "[/nope]")
ASKED = Asked(
    ModelOptimizationLevel.QUANTIZATION,
    Objective.SIZE,
    Constraints(max_drop=0.5, max_p99_ms=20.0, max_memory_bytes=64 << 20, max_size_bytes=3 << 20),
    90.0,
)
REQUEST = OptimizeRequest("yolo-n", ("dock-0188",), ASKED, "it's hot")


def make(fleet: Callable[..., object] = lab) -> tuple[EdgeConsoleApp, CannedDesk]:
    """Return a console whose keys all come after everything could be seen, and who takes orders."""
    app = make_app(fleet(), refresh_hz=1)  # type: ignore[arg-type]
    app.state.guard = TypeAheadGuard(count(-1e6).__next__)
    desk = app.service.desk
    assert isinstance(desk, CannedDesk)
    return app, desk


async def press(pilot: Pilot[int], *keys: str) -> None:
    """Press keys and let what they began come to its end."""
    for key in keys:
        await pilot.press(key)
        await pilot.pause()
        await pilot.pause()


async def fill(pilot: Pilot[int], name: str, text: str) -> None:
    """Replace what is in a field."""
    pilot.app.screen.set_focus(pilot.app.screen.query_one(f"#{name}"))
    await press(pilot, "ctrl+u", *text)


@pytest.mark.parametrize("request_", [REQUEST, OptimizeRequest("a/1/b", DEVICES)])
def test_the_written_form_means_the_same(request_: OptimizeRequest) -> None:
    """What the form shows behind `:` asks for exactly what the form asks for."""
    line = optimize_form.form(request_)
    verb, _, argument = line.partition(" ")
    assert verb == "optimize"
    assert parse_optimize(argument, DEVICES) == request_
    assert optimize_form.read(optimize_form.values_of(request_), DEVICES) == request_


def test_what_is_left_open_is_the_verb_s_default() -> None:
    """One set of options for both."""
    assert parse_optimize("", DEVICES) == OptimizeRequest(asked=Asked())
    assert parse_optimize("yolo-n --on CART-0001 cart-0002 --on cart-0001", DEVICES).devices == (
        "cart-0001",
        "cart-0002",
    )


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("yolo-n tiny", "unrecognized arguments: tiny"),
        ("--level magic", "--level: invalid choice: 'magic'"),
        ("--max-drop=-1", "--max-drop: invalid amount value"),
        ("--max-drop inf", "--max-drop: invalid amount value"),
        ("--budget soon", "--budget: 'soon' is not a time"),
        ("--budget 5s", "--budget: 5s is not between 10s and 24h"),
        ("--on dock-188", "did you mean dock-0188?"),
        ("--lev none", "unrecognized arguments: --lev"),
        ("--on", "--on: expected at least one argument"),
        ("'yolo", "close the quotes"),
        ("--help", "unrecognized arguments: --help"),
    ],
)
def test_what_is_wrong_with_a_command_is_said(argument: str, words: str) -> None:
    """In the words of the command line; nothing ends the console."""
    with pytest.raises(CommandError) as caught:
        parse_optimize(argument, DEVICES)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("model", ""),
        ("model", "--on"),
        ("on", ""),
        ("on", "dock-188"),
        ("on", "'dock"),
        ("level", "magic"),
        ("objective", "fame"),
        ("max-drop", "-1"),
        ("max-drop", "a lot"),
        ("max-p99-ms", "nan"),
        ("max-memory-mb", "1e9"),
        ("max-size-mb", "inf"),
        ("budget", "5s"),
        ("budget", "soon"),
    ],
)
def test_each_field_is_checked_and_named(name: str, text: str) -> None:
    """The error belongs to the field it is in."""
    values = optimize_form.values_of(REQUEST) | {name: text}
    with pytest.raises(CommandError) as caught:
        optimize_form.read(values, DEVICES)
    assert optimize_form.field_of(caught.value) == name


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("width", [50, 79])
def test_hostile_texts_stay_in_their_line(text: str, width: int) -> None:
    """Whatever names devices and models have, the plan is printable and fits."""
    store, _ = lab(10)
    views = [msgspec.structs.replace(each, id=text) for each in store.devices()]
    request = OptimizeRequest(text, (text,))
    reach = blast(OrderKind.OPTIMIZE, "", views[:3], views)
    for line in optimize_form.what(
        request, reach, views, None, queue_s=60.0, width=width, glyphs=BRAILLE
    ):
        assert line_width(line) <= width
        assert all(char.isprintable() for char in texts([line])[0])
    assert optimize_form.read(optimize_form.values_of(request) | {"on": "cart-0001"}, DEVICES).what


def test_a_key_means_one_bundle_everywhere() -> None:
    """It becomes a digest; where a device lacks it, has another, or never said, nothing is ordered."""
    on = ("dock-0188", "cart-0001")
    key = OptimizeRequest("yolo-n/1.2.0/int8-static", on)
    task, wrong = optimize_form.task_for(key, said()[:2])
    assert (task, wrong) == (OptimizeTask(key.what, key.asked, BEST.digest), "")
    task, wrong = optimize_form.task_for(key, said()[:1])
    assert (task, "not every device is known to have" in wrong) == (None, True)
    fused = OptimizeRequest("yolo-n/1.2.0/fused", on)
    assert optimize_form.task_for(fused, said()[:2])[0] is None
    other = msgspec.structs.replace(said()[1], models=(bundle("int8-static", "7" * 64, 9),))
    task, wrong = optimize_form.task_for(key, [said()[0], other])
    assert (task, "not the same bundle everywhere" in wrong) == (None, True)
    model = OptimizeRequest("yolo-n", on)
    assert optimize_form.task_for(model, [])[0] == OptimizeTask("yolo-n", model.asked)


def test_the_plan_says_how_many_jobs_come_before() -> None:
    """Of several devices the longest queue; what a silent device has is not known."""
    store, _ = lab(10)
    views = store.devices()[:2]
    reach = blast(OrderKind.OPTIMIZE, "", views, store.devices())

    def plan(*waiting: DeviceJobs) -> str:
        lines = optimize_form.what(
            REQUEST, reach, views, waiting, queue_s=60.0, width=200, glyphs=BRAILLE
        )
        return "\n".join(texts(lines))

    assert "1m30s at most; it starts at once" in plan(DeviceJobs("a"))
    assert "2 jobs before it" in plan(DeviceJobs("a"), DeviceJobs("b", (QUEUED, QUEUED)))
    assert "is not known" in plan(DeviceJobs("a", note="away"))
    assert "is not known" in plan()
    assert "what answers stays as it is" in plan()


async def test_o_fills_the_form_in_and_orders_it() -> None:
    """The model that answers on the device at hand; the order lands on the device's jobs."""
    app, desk = make()
    async with app.run_test(size=(80, 24)) as pilot:
        await press(pilot, "O")
        assert isinstance(app.screen, OptimizeScreen)
        shown = picture(app)
        assert ":optimize yolo-n --on dock-0188 --level full_optimization" in shown
        assert "2 jobs before it" in shown
        assert desk.given == []
        desk.detail = "job job-7 is queued, 2 before it"
        await press(pilot, "Y")
        ((intent, devices),) = desk.given
        assert (intent.kind, intent.task, devices, intent.reason) == (
            OrderKind.OPTIMIZE,
            OptimizeTask("yolo-n", Asked()),
            ("dock-0188",),
            NO_REASON,
        )
        assert isinstance(app.screen, JobsScreen)
        jobs = app.service.jobs
        assert isinstance(jobs, CannedJobs)
        assert jobs.asked[-1] == ("dock-0188",)
        assert "dock-0188: job job-7 is queued, 2 before it" in picture(app)


async def test_what_is_typed_is_ordered() -> None:
    """Every field reaches the order; the written form follows while one types."""
    app, desk = make()
    typed = replace(REQUEST, reason="hot")
    async with app.run_test(size=(120, 40)) as pilot:
        await press(pilot, "O")
        for name, text in (
            ("level", "quantization"),
            ("objective", "size"),
            ("max-drop", "0.5"),
            ("budget", "90s"),
            ("max-p99-ms", "20"),
            ("max-memory-mb", "64"),
            ("max-size-mb", "3"),
            ("reason", "hot"),
        ):
            await fill(pilot, name, text)
        shown = " ".join(texts(app.screen.query_one("#confirm-form", Lines).lines)).split()
        assert shown == [":optimize", *shlex.split(optimize_form.form(typed))[1:]]
        pilot.app.screen.set_focus(pilot.app.screen.query_one("#cancel"))
        await press(pilot, "Y")
        ((intent, _),) = desk.given
        assert (intent.task, intent.reason) == (OptimizeTask("yolo-n", ASKED), "hot")


async def test_a_wrong_field_is_said_and_gets_the_keyboard() -> None:
    """Nothing is ordered while anything is wrong, and what was typed stays."""
    app, desk = make()
    async with app.run_test(size=(120, 40)) as pilot:
        await press(pilot, "O")
        await fill(pilot, "budget", "5s")
        assert "--budget: 5s is not between 10s and 24h" in picture(app)
        app.screen.set_focus(app.screen.query_one("#cancel"))
        await press(pilot, "Y")
        assert isinstance(app.screen, OptimizeScreen)
        assert app.screen.focused is app.screen.query_one("#budget")
        assert desk.given == []
        await fill(pilot, "budget", "50s")
        assert "--budget:" not in picture(app)


async def test_levels_are_completed() -> None:
    """What is begun is shown whole, and → takes it."""
    app, _ = make()
    async with app.run_test(size=(120, 40)) as pilot:
        await press(pilot, "O")
        await fill(pilot, "level", "quant")
        await press(pilot, "right")
        assert app.screen.query_one("#level").value == "quantization"


async def test_several_devices_need_a_reason_and_many_their_number() -> None:
    """As every order: the farther it reaches, the harder it is to give."""
    app, desk = make()
    async with app.run_test(size=(120, 40)) as pilot:
        await press(pilot, "space", "j", "space", "O")
        assert isinstance(app.screen, OptimizeScreen)
        await press(pilot, "Y")
        assert "say why: it reaches more than one device" in picture(app)
        await fill(pilot, "reason", "heat")
        await fill(pilot, "on", " ".join(app.state.store.ids()))
        assert "type 10 to confirm" in picture(app)
        app.screen.set_focus(app.screen.query_one("#cancel"))
        await press(pilot, "Y")
        assert "type 10: it reaches 10 devices at once" in picture(app)
        await fill(pilot, "number", "10")
        app.screen.set_focus(app.screen.query_one("#cancel"))
        await press(pilot, "Y")
        ((intent, devices),) = desk.given
        assert (len(devices), intent.reason) == (10, "heat")
        assert isinstance(app.screen, JobsScreen)


async def test_a_device_that_is_away_gets_it_later() -> None:
    """The form says so; the order is given."""
    app, desk = make(fallen)
    async with app.run_test(size=(120, 40)) as pilot:
        await burst(pilot, "colon", *"optimize yolo-n --on gate-0020", "enter")
        await pilot.pause()
        assert isinstance(app.screen, OptimizeScreen)
        assert "1 offline, queued for up to 1h: gate-0020" in picture(app)
        await press(pilot, "Y")
        assert desk.given[0][1] == ("gate-0020",)


async def test_from_a_model_s_row_its_bundle_is_meant() -> None:
    """What only lies in a store is named by its key; what answers, by the model."""
    app, desk = make()
    async with app.run_test(size=(120, 40)) as pilot:
        await press(pilot, "3", "G", "O")
        assert ":optimize yolo-n/1.2.0/fused --on dock-0188" in picture(app)
        await press(pilot, "Y")
        ((intent, _),) = desk.given
        assert isinstance(intent.task, OptimizeTask)
        assert intent.task.digest == "e" * 64


@pytest.mark.parametrize("line", ["optimize", "optimize yolo-n --budget 30s"])
async def test_the_command_opens_the_form(line: str) -> None:
    """With what it says filled in, on the device at hand."""
    app, _ = make()
    async with app.run_test(size=(120, 40)) as pilot:
        await burst(pilot, "colon", *line, "enter")
        await pilot.pause()
        assert isinstance(app.screen, OptimizeScreen)
        assert app.screen.query_one("#on").value == "dock-0188"
        assert app.screen.query_one("#budget").value == ("30s" if "30s" in line else "10m")


async def test_a_wrong_command_stays_in_the_prompt() -> None:
    """The complaint is below it, and it can be typed on."""
    app, _ = make()
    async with app.run_test(size=(120, 40)) as pilot:
        await burst(pilot, "colon", *"optimize --level magic", "enter")
        await pilot.pause()
        assert not isinstance(app.screen, OptimizeScreen)
        assert "--level: invalid choice: 'magic'" in picture(app)


@pytest.mark.parametrize("behind", ["Y", "YYYY", "\t\t\tY\r", "size\tY", "\x1bY"])
async def test_what_is_typed_behind_the_key_orders_nothing(behind: str) -> None:
    """All of it was there before the form could be seen."""
    names = {"\t": "tab", "\r": "enter", "\x1b": "escape"}
    app = make_app(lab(10), refresh_hz=1)
    desk = app.service.desk
    assert isinstance(desk, CannedDesk)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause(SETTLE_S + 0.1)
        await burst(pilot, "O", *(names.get(char, char) for char in behind))
        await pilot.pause(SETTLE_S + 0.1)
        assert desk.given == []
