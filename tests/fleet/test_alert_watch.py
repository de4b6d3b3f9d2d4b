"""Alerts at work: written once however many consoles look, shown as events, told by hooks."""

from __future__ import annotations

import asyncio
import http.server
import json
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgeconsole.errors import ConfigError
from edgeconsole.fleet import database
from edgeconsole.fleet import hooks as module
from edgeconsole.fleet.alert_book import AlertBook
from edgeconsole.fleet.alert_watch import AlertWatch
from edgeconsole.fleet.alerts import AlertKind
from edgeconsole.fleet.hooks import Hooks
from edgeconsole.fleet.incidents import Incident
from edgeconsole.fleet.store import FleetStore
from edgeconsole.protocol.telemetry import DeviceEvent, Quality, Reading, Severity
from edgeconsole.specs import AlertConfig, FleetDevice, FleetSpec
from edgeconsole.toml_file import load_toml

Make = Callable[..., Any]
SPEC = FleetSpec(devices=(FleetDevice("a", "ws://x"),))
INCIDENT = Incident(1, AlertKind.HOT, Severity.CRITICAL, False, ("a",), ("lyon",), 1.0, "hot: a")


class Kept:
    """Where events go, beside the store."""

    def __init__(self) -> None:
        self.events: list[DeviceEvent] = []

    def add_event(self, device_id: str, event: DeviceEvent) -> None:
        """Keep an event."""
        assert device_id == event.device_id
        self.events.append(event)


@pytest.fixture
def book(tmp_path: Path) -> AlertBook:
    """Return a book in a new history."""
    database.make(tmp_path / "history.db")
    return AlertBook(tmp_path / "history.db")


class Console:
    """One console that looks at one device."""

    def __init__(self, book: AlertBook, clock: Any, make_sample: Make) -> None:
        self.store = FleetStore(SPEC, clock)
        self.kept = Kept()
        self.watch = AlertWatch(
            SPEC.alerts, self.store, book, self.kept, lambda: 1.75e9 + clock.now
        )
        self._make_sample = make_sample
        self._seq = 0

    async def second(self, temp_c: float) -> None:
        """Hear a sample and look."""
        self._seq += 1
        reading = Reading(temp_c, "°C", "zone", Quality.MEASURED)
        self.store.add_sample("a", self._make_sample(self._seq, temp_c=reading))
        await self.watch.look()


async def test_two_consoles_write_an_alert_once(
    book: AlertBook, clock: Any, make_sample: Make, make_event: Make
) -> None:
    """Both notice; one row, one event, and the device's own events keep their place."""
    consoles = [Console(book, clock, make_sample) for _ in range(2)]
    for console in consoles:
        console.store.add_event("a", make_event(7))
    for _ in range(20):
        clock.now += 1
        for console in consoles:
            await console.second(95.0)
    (row,) = book.rows(9, only_open=True)
    assert (row.kind, row.device_id, row.until_unix_s) == (AlertKind.HOT, "a", None)
    events = [event for console in consoles for event in console.kept.events]
    assert [(event.kind, event.severity) for event in events] == [("alert_hot", Severity.CRITICAL)]
    assert consoles[0].store.last_event("a") == ("boot-1", 7)
    for _ in range(70):
        clock.now += 1
        for console in consoles:
            await console.second(50.0)
    (row,) = book.rows(9, only_open=False)
    assert row.until_unix_s is not None
    assert book.rows(9, only_open=True) == []
    assert sum(len(console.kept.events) for console in consoles) == 2


async def test_the_next_console_goes_on(book: AlertBook, clock: Any, make_sample: Make) -> None:
    """What was open when a console ended is not told again, and ends with the next one."""
    first = Console(book, clock, make_sample)
    for _ in range(12):
        clock.now += 1
        await first.second(95.0)
    second = Console(book, clock, make_sample)
    await second.watch.restore()
    for _ in range(12):
        clock.now += 1
        await second.second(95.0)
    assert second.kept.events == []
    for _ in range(62):
        clock.now += 1
        await second.second(50.0)
    assert [event.message for event in second.kept.events] == ["hot is over: 50 °C, limit 90 °C"]


async def test_a_disk_that_refuses_is_a_problem_that_passes(
    book: AlertBook, clock: Any, make_sample: Make
) -> None:
    """Changes wait; when the book can be written they are, and are told."""
    console = Console(book, clock, make_sample)
    moved = book.path.with_name("away")
    book.path.rename(moved)
    book.path.mkdir()
    for _ in range(15):
        clock.now += 1
        await console.second(95.0)
    assert "unable to open" in console.watch.problem
    book.path.rmdir()
    moved.rename(book.path)
    clock.now += 1
    await console.second(95.0)
    assert console.watch.problem == ""
    assert len(book.rows(9, only_open=True)) == len(console.kept.events) == 1
    assert book.looked_unix_s() == 1.75e9 + clock.now


def program(tmp_path: Path, code: str) -> tuple[str, ...]:
    """Return a command that runs some Python."""
    return (sys.executable, "-c", code, str(tmp_path / "said"))


async def test_a_command_gets_the_incident(tmp_path: Path) -> None:
    """As JSON on its standard input."""
    code = "import sys; open(sys.argv[1], 'w').write(sys.stdin.read())"
    hooks = Hooks(AlertConfig(command=program(tmp_path, code)))
    await hooks.send(INCIDENT)
    assert hooks.problem == ""
    said = json.loads(await asyncio.to_thread((tmp_path / "said").read_text))
    assert (said["kind"], said["devices"], said["over"]) == ("hot", ["a"], False)


@pytest.mark.parametrize(
    ("code", "problem"),
    [("import sys; sys.exit(3)", "ended with 3"), ("import time; time.sleep(99)", "did not end")],
    ids=["fails", "hangs"],
)
async def test_a_command_that_fails_or_hangs_is_told(
    tmp_path: Path, code: str, problem: str
) -> None:
    """Its exit code, or that it was ended after its time; the next one is tried all the same."""
    hooks = Hooks(AlertConfig(command=program(tmp_path, code), timeout_s=0.5))
    await hooks.send(INCIDENT)
    assert problem in hooks.problem


async def test_a_command_that_is_not_there_is_told() -> None:
    """The program is named."""
    hooks = Hooks(AlertConfig(command=("/no/such/program",)))
    await hooks.send(INCIDENT)
    assert hooks.problem.startswith("/no/such/program cannot be started")


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        size = int(self.headers["Content-Length"])
        self.server.bodies.append(self.rfile.read(size))  # type: ignore[attr-defined]
        self.send_response(200 if self.path == "/hook" else 500)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def web() -> Iterator[Any]:
    """Return a web server that keeps what is posted to it."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.bodies = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


async def test_a_webhook_gets_the_incident(web: Any) -> None:
    """As JSON; a refusal and an address where nobody is are told."""
    address = f"http://127.0.0.1:{web.server_address[1]}"
    hooks = Hooks(AlertConfig(webhook=f"{address}/hook"))
    await hooks.send(INCIDENT)
    assert (hooks.problem, json.loads(web.bodies[0])["text"]) == ("", "hot: a")
    wrong = Hooks(AlertConfig(webhook=f"{address}/other"))
    await wrong.send(INCIDENT)
    assert "answered 500" in wrong.problem
    nobody = Hooks(AlertConfig(webhook="http://127.0.0.1:9/"))
    await nobody.send(INCIDENT)
    assert "cannot be reached" in nobody.problem


async def test_what_waits_is_bounded_and_nobody_waits_for_it(
    tmp_path: Path, eventually: Callable[..., Any]
) -> None:
    """Telling returns at once; past the bound the oldest are dropped, and it is said how many."""
    code = "import sys; open(sys.argv[1], 'a').write('x')"
    hooks = Hooks(AlertConfig(command=program(tmp_path, code)))
    for _ in range(module.MAX_WAITING + 3):
        hooks.tell(INCIDENT)
    assert hooks.dropped == 3
    hooks._waiting = type(hooks._waiting)(list(hooks._waiting)[:2], module.MAX_WAITING)
    runner = asyncio.create_task(hooks.run())
    await eventually(lambda: hooks.problem == "3 incidents were not told" and not hooks._waiting)
    runner.cancel()
    await asyncio.gather(runner, return_exceptions=True)
    nobody = Hooks(AlertConfig())
    nobody.tell(INCIDENT)
    assert not nobody._waiting


@pytest.mark.parametrize(
    "line", ["error_share = 0.0", 'webhook = "file:///etc/passwd"', "timeout_s = 0"]
)
def test_settings_out_of_range_are_refused(tmp_path: Path, line: str) -> None:
    """With file, key and what was expected."""
    file = tmp_path / "fleet.toml"
    file.write_text(f"[alerts]\n{line}\n")
    with pytest.raises(ConfigError, match=line.split(" ", maxsplit=1)[0]):
        load_toml(file, FleetSpec)
