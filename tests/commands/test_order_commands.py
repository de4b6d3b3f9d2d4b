"""`edgeconsole failsafe|fallback|maintenance|release|thermal|audit|why` against real sockets and files."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from edgeconsole.cli import main
from edgeconsole.fleet.history import History
from edgeconsole.protocol.control import (
    SUBPROTOCOL,
    Command,
    Done,
    Explain,
    ExplainReply,
    Failed,
    Force,
    ForceThermal,
    GetStatus,
    Hello,
    HelloReply,
    Release,
    StatusReply,
    decode_command,
    encode,
)
from edgeconsole.protocol.failsafe import (
    Condition,
    OverrideKind,
    RouteConditions,
    RouteSample,
    RungSample,
    Transition,
)
from edgeconsole.protocol.inference import Rung
from edgeconsole.protocol.telemetry import DeviceEvent, DeviceSample, Reading, Severity
from edgeconsole.protocol.thermal import ThermalState, ThermalTransition
from edgeconsole.specs import AgentState, EdgeDeploymentTier, EdgeDeviceSpec, LatencyRequirement

MET = Condition("breaker_error_share", True, 0.6, 0.5, held_s=3.0, needed_s=2.0, detail="12 of 20")
MOVED = Transition("digits", Rung.PRIMARY, Rung.FALLBACK, "breaker_open", 1_750_000_000.0, (MET,))
ROUTE = RouteSample(
    "digits",
    Rung.FALLBACK,
    12.0,
    "breaker_open",
    rungs=(RungSample(Rung.STATIC, False, "no static answer is declared"),),
)
SAMPLE = DeviceSample(
    device_id="a",
    boot_id="b",
    seq=1,
    time_unix_s=1_750_000_000.0,
    state=AgentState.READY,
    uptime_s=1.0,
    temp_c=Reading(reason="none"),
    power_w=Reading(reason="none"),
    cpu_percent=None,
    memory_percent=None,
    memory_used_bytes=None,
    agent_rss_bytes=None,
    connections=1,
    models=(),
    routes=(ROUTE,),
)


class Agent:
    """Device `a` of a fleet whose device `b` is off."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.heard: list[Command] = []
        self.refuses = False

    async def handle(self, connection: ServerConnection) -> None:
        """Answer one console."""
        async for frame in connection:
            command = decode_command(frame)
            self.heard.append(command)
            await connection.send(encode(self._reply(command)))

    def _reply(self, command: Command) -> Any:
        if isinstance(command, Hello):
            return HelloReply(
                id=command.id,
                version=1,
                agent_id="a",
                agent_version="0",
                boot_id="b",
                tier=EdgeDeploymentTier.DEVICE_EDGE,
                latency_requirement=LatencyRequirement.BATCH,
                device=EdgeDeviceSpec(),
                platform="Linux",
            )
        if self.refuses:
            return Failed(command.id, "CONFLICT", "no static answer is declared", "declare one")
        if isinstance(command, GetStatus):
            return StatusReply(command.id, SAMPLE)
        if isinstance(command, Explain):
            return ExplainReply(
                command.id, (MOVED,), (RouteConditions("digits", Rung.FALLBACK, (MET,)),)
            )
        return Done(command.id, "as you wish\x1b[31m")

    async def run(self, *arguments: str) -> int:
        """Run the command line; returns the exit code."""
        return await asyncio.to_thread(
            main, [*arguments, "--fleet", str(self.folder / "fleet.toml")]
        )

    def orders(self) -> list[Command]:
        """Return the orders it got."""
        return [each for each in self.heard if isinstance(each, Force | Release | ForceThermal)]


@pytest.fixture
async def agent(tmp_path: Path, free_port: int) -> AsyncIterator[Agent]:
    """Return a device that listens, in a fleet with one that does not."""
    found = Agent(tmp_path)
    (tmp_path / "token").write_text("t" * 32)
    async with serve(
        found.handle, "127.0.0.1", 0, subprotocols=[Subprotocol(SUBPROTOCOL)]
    ) as server:
        ports = {"a": server.sockets[0].getsockname()[1], "b": free_port}
        text = 'history = "h.db"\n'
        for name, port in ports.items():
            text += (
                f'[[devices]]\nid = "{name}"\nurl = "ws://127.0.0.1:{port}"\ntoken_file = "token"\n'
            )
        (tmp_path / "fleet.toml").write_text(text)
        yield found


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (["failsafe", "on"], OverrideKind.FAILSAFE),
        (["fallback", "on"], OverrideKind.FALLBACK),
        (["maintenance", "on"], OverrideKind.MAINTENANCE),
        (["failsafe", "off"], None),
        (["fallback", "off"], None),
        (["maintenance", "off"], None),
        (["release"], None),
    ],
)
async def test_every_verb_reaches_the_device(
    agent: Agent, capsys: pytest.CaptureFixture[str], words: list[str], kind: OverrideKind | None
) -> None:
    """The device gets what was ordered with who, why and for how long; its words are made safe."""
    extra = ["--model", "digits", "--reason", "smoke in hall 2"]
    if len(words) == 2:
        extra += ["--for", "10m"]
    assert await agent.run(*words, "a", *extra) == 0
    assert capsys.readouterr().out == "a acknowledged: as you wish?[31m\n"
    (order,) = agent.orders()
    assert (order.model, order.reason) == ("digits", "smoke in hall 2")
    assert "@" in order.actor
    if kind is None:
        assert isinstance(order, Release)
    else:
        assert isinstance(order, Force)
        assert order.kind is kind
        assert order.for_s == pytest.approx(600, abs=5)


@pytest.mark.parametrize("state", ["nominal", "warm", "hot", "critical"])
async def test_a_thermal_state_reaches_the_device(
    agent: Agent, capsys: pytest.CaptureFixture[str], state: str
) -> None:
    """The device gets the state with who, why and for how long; it has the last word."""
    words = ["--state", state, "--for", "10m", "--reason", "the fan is out"]
    assert await agent.run("thermal", "a", *words) == 0
    assert capsys.readouterr().out == "a acknowledged: as you wish?[31m\n"
    (order,) = agent.orders()
    assert isinstance(order, ForceThermal)
    assert (order.state, order.reason) == (ThermalState(state), "the fan is out")
    assert order.for_s == pytest.approx(600, abs=5)
    assert "@" in order.actor


async def test_a_thermal_state_is_let_go(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    """`--release` ends it; what is offline waits as with the other orders, and the audit has the line."""
    assert await agent.run("thermal", "a", "b", "--release", "--json") == 3
    said = json.loads(capsys.readouterr().out)
    assert said["line"] == "thermal a b --release"
    assert {each["device"]: each["outcome"] for each in said["devices"]} == {
        "a": "acknowledged",
        "b": "queued",
    }
    (order,) = agent.orders()
    assert isinstance(order, ForceThermal)
    assert order.state is None
    assert await agent.run("audit", "--json") == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {row["line"] for row in rows} == {"thermal a --release", "thermal b --release"}
    assert {row["command_id"] for row in rows} == {said["command_id"]}


async def test_a_thermal_refusal_and_plan(
    agent: Agent, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A plan orders nothing and says who has no policy; a refusal has its exit code and its words."""
    assert await agent.run("thermal", "a", "b", "--state", "hot", "--plan") == 3
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == ("a would be sent: it has none for thermal policy (the agent is older)")
    assert printed[1].startswith("b would wait: ")
    assert not (tmp_path / "h.db").exists()
    agent.refuses = True
    assert await agent.run("thermal", "a", "--state", "warm", "--for", "2h") == 1
    assert capsys.readouterr().out.startswith("a refused: ")
    assert [type(each) for each in agent.orders()] == [ForceThermal]


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--state", "unknown"],
        ["--state", "hot", "--release"],
        ["--state", "hot", "--model", "digits"],
    ],
)
async def test_a_thermal_state_is_one_of_four(agent: Agent, words: list[str]) -> None:
    """Neither state nor release, both, a state nobody can force, a model: nothing is ordered."""
    with pytest.raises(SystemExit):
        await agent.run("thermal", "a", *words)
    assert agent.heard == []


async def test_an_offline_device_is_no_error(
    agent: Agent, capsys: pytest.CaptureFixture[str]
) -> None:
    """The one that is there does it now, the other waits; exit code 3 and the JSON say so."""
    assert await agent.run("failsafe", "on", "b", "a", "b", "--json") == 3
    said = json.loads(capsys.readouterr().out)
    assert said["line"] == "failsafe on b a --for 30m"
    outcomes = {each["device"]: each["outcome"] for each in said["devices"]}
    assert outcomes == {"b": "queued", "a": "acknowledged"}
    assert "cannot be reached" in said["devices"][0]["detail"]
    assert await agent.run("audit", "--json") == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {(row["device_id"], row["outcome"]) for row in rows} == {
        ("a", "queued"),
        ("b", "queued"),
        ("a", "sent"),
        ("a", "acknowledged"),
    }
    assert {row["command_id"] for row in rows} == {said["command_id"]}
    assert await agent.run("audit", "--device", "b") == 0
    printed = capsys.readouterr().out
    assert "queued" in printed
    assert "failsafe on b --for 30m" in printed


async def test_a_later_verb_takes_along_what_waits(agent: Agent, tmp_path: Path) -> None:
    """An order that found nobody goes out, first, when the device is reached again."""
    fleet = (tmp_path / "fleet.toml").read_text()
    broken = fleet.replace('token_file = "token"', 'token_file = "missing"')
    (tmp_path / "fleet.toml").write_text(broken)
    assert await agent.run("failsafe", "on", "a") == 3
    (tmp_path / "fleet.toml").write_text(fleet)
    assert await agent.run("release", "a") == 0
    assert [type(each) for each in agent.orders()] == [Force, Release]


async def test_a_refusal_has_its_exit_code(
    agent: Agent, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a device refuses is printed with its words, and is worse than waiting."""
    agent.refuses = True
    assert await agent.run("failsafe", "on", "a", "b") == 1
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "a refused: no static answer is declared (declare one)"
    assert printed[1].startswith("b queued: ")


async def test_a_plan_orders_nothing(
    agent: Agent, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """It says who would get it and who would have to wait; no order, no audit, no file."""
    assert await agent.run("fallback", "on", "a", "b", "--plan") == 3
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "a would be sent"
    assert printed[1].startswith("b would wait: ")
    assert agent.orders() == []
    assert not (tmp_path / "h.db").exists()
    assert await agent.run("failsafe", "on", "a", "--plan") == 0
    lacking = "it has none for digits: no static answer is declared"
    assert capsys.readouterr().out == f"a would be sent: {lacking}\n"


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["failsafe", "on", "zz"], "'zz' is not a device of"),
        (["failsafe", "on", "a", "--for", "10"], "'10' is not a time"),
        (["failsafe", "on", "a", "--for", "9d"], "lasts from 1s to 7d"),
        (["release", "a", "--queue", "1s"], "waits at least 10s"),
        (["why", "zz"], "'zz' is not a device of"),
    ],
)
async def test_what_cannot_be_meant_is_refused(
    agent: Agent, capsys: pytest.CaptureFixture[str], arguments: list[str], part: str
) -> None:
    """Nothing is ordered, exit code 2, and the sentence says what was expected."""
    assert await agent.run(*arguments) == 2
    assert part in capsys.readouterr().err
    assert agent.heard == []


async def test_why_in_the_devices_words(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    """Rung, cause and each condition with measured, threshold, held and needed."""
    assert await agent.run("why", "a") == 0
    printed = capsys.readouterr().out
    for part in ("in the device's own words", "digits", "fallback", "primary → fallback"):
        assert part in printed
    row = next(line for line in printed.splitlines() if "breaker error share" in line)
    assert row.split()[1:] == [
        *["breaker", "error", "share", "0.60", "0.50", "3", "s", "2", "s", "12", "of", "20"]
    ]
    assert await agent.run("why", "a", "--json", "--model", "digits") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["live"] is True
    assert said["transitions"][0]["conditions"][0]["threshold"] == 0.5


async def test_why_of_a_device_that_is_gone(
    agent: Agent, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """From the history, and the first line says so and why."""
    history = History(tmp_path / "h.db")
    await history.open()
    event = DeviceEvent("b", "x", 1, 1.75e9, Severity.WARNING, "rung_changed", "", MOVED)
    history.add_event("b", event)
    heat = ThermalTransition(ThermalState.NOMINAL, ThermalState.HOT, 0, 3, "operator", 1.75e9)
    changed = DeviceEvent(
        "b", "x", 2, 1.75e9, Severity.WARNING, "thermal_changed", "", thermal=heat
    )
    history.add_event("b", changed)
    await history.close()
    assert await agent.run("why", "b") == 0
    printed = capsys.readouterr().out
    assert "from the history; the device was not asked: ws://127.0.0.1" in printed
    assert "primary → fallback" in printed
    assert "heat nominal → hot" in printed


async def test_why_of_a_device_nobody_knows_anything_of(
    agent: Agent, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing known is said as such."""
    assert await agent.run("why", "b") == 0
    assert "no transition is known" in capsys.readouterr().out


@pytest.mark.parametrize("limit", ["0", "257", "x"])
async def test_a_limit_out_of_bounds_is_refused(agent: Agent, limit: str) -> None:
    """The bound is the wire's."""
    with pytest.raises(SystemExit):
        await agent.run("why", "a", "--limit", limit)
