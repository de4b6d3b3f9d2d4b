"""`edgeconsole models|load|activate|unload`: the right command goes out, its reply is printed."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from edgeconsole.commands import models
from edgeconsole.errors import ConfigError, RequestError
from edgeconsole.fleet.order_book import OrderBook
from edgeconsole.fleet.orders import Outcome
from edgeconsole.protocol.control import (
    SUBPROTOCOL,
    ActivateModel,
    Command,
    Done,
    Failed,
    Hello,
    HelloReply,
    LoadModel,
    ModelsReply,
    Reply,
    StoredModel,
    UnloadModel,
    decode_command,
    encode,
)
from edgeconsole.specs import EdgeDeploymentTier, EdgeDeviceSpec, LatencyRequirement


def parsed(*arguments: str, fleet: Path | None = None) -> argparse.Namespace:
    """Return the options of a command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--fleet", type=Path)
    models.add_parser(parser.add_subparsers())
    before = [] if fleet is None else ["--fleet", str(fleet)]
    return parser.parse_args([*before, *arguments])


@pytest.mark.parametrize("arguments", [["load", "a"], ["models"], ["activate"], ["unload", "a"]])
def test_missing_arguments_are_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A verb without its model or device says what it needs."""
    with pytest.raises(SystemExit):
        parsed(*arguments)
    assert "the following arguments are required" in capsys.readouterr().err


class Agent:
    """A control server that answers every command but `hello` with `reply`."""

    def __init__(self, fleet: Path) -> None:
        self.fleet = fleet
        self.heard: list[Command] = []
        self.reply: Reply = Done("")

    async def handle(self, connection: ServerConnection) -> None:
        """Answer one console."""
        async for frame in connection:
            command = decode_command(frame)
            if isinstance(command, Hello):
                await connection.send(encode(hello(command.id)))
                continue
            self.heard.append(command)
            fields = json.loads(encode(self.reply)) | {"id": command.id}
            await connection.send(json.dumps(fields))

    async def run(self, *arguments: str) -> int:
        """Run a verb against it; returns the exit code."""
        options = parsed(*arguments, fleet=self.fleet)
        code: int = await asyncio.to_thread(options.run, options)
        return code


def hello(command_id: str) -> HelloReply:
    """Return a greeting."""
    return HelloReply(
        id=command_id,
        version=1,
        agent_id="a",
        agent_version="0",
        boot_id="b",
        tier=EdgeDeploymentTier.DEVICE_EDGE,
        latency_requirement=LatencyRequirement.BATCH,
        device=EdgeDeviceSpec(),
        platform="Linux",
    )


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Agent]:
    """Return an agent that is in a fleet file as `a`."""
    found = Agent(tmp_path / "fleet.toml")
    (tmp_path / "token").write_text("t" * 32)
    async with serve(
        found.handle, "127.0.0.1", 0, subprotocols=[Subprotocol(SUBPROTOCOL)]
    ) as server:
        port = server.sockets[0].getsockname()[1]
        found.fleet.write_text(
            f'history = "h.db"\n[[devices]]\nid = "a"\nurl = "ws://127.0.0.1:{port}"\ntoken_file = "token"\n'
        )
        yield found


@pytest.mark.parametrize(
    ("arguments", "kind", "parts"),
    [
        (["load", "a", "digits"], LoadModel, ("digits", "", "")),
        (["load", "a", "digits/2"], LoadModel, ("digits", "2", "")),
        (["load", "a", "digits/2/int8"], LoadModel, ("digits", "2", "int8")),
        (["load", "a", "digits//int8"], LoadModel, ("digits", "", "int8")),
        (["load", "a", "digits/"], LoadModel, ("digits", "", "")),
        (["activate", "a", "digits/2/int8/x"], ActivateModel, ("digits", "2", "int8/x")),
        (["unload", "a", "digits/2"], UnloadModel, ("digits", "2", "")),
    ],
)
async def test_commands_are_built_from_the_verb(
    agent: Any, arguments: list[str], kind: type, parts: tuple[str, str, str]
) -> None:
    """Each verb is its command with an order's id; `MODEL/VERSION/VARIANT` may end early."""
    assert await agent.run(*arguments) == 0
    (heard,) = agent.heard
    assert (type(heard), heard.model, heard.version, heard.variant) == (kind, *parts)
    assert len(heard.command_id) == 32


STORED = ModelsReply(
    "",
    tuple(
        StoredModel("digits", "1", variant, f"{index}" * 64, "classification", 20480, *state)
        for index, (variant, *state) in enumerate(
            (("fp32", True, True), ("int8", True, False), ("tiny", False, False))
        )
    ),
)


async def test_models_are_listed_as_json(agent: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Scripts get every field of every stored model."""
    agent.reply = STORED
    assert await agent.run("models", "a", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert [each["variant"] for each in printed["models"]] == ["fp32", "int8", "tiny"]
    assert printed["models"][0] == {
        "model": "digits",
        "version": "1",
        "variant": "fp32",
        "digest": "0" * 64,
        "task": "classification",
        "size_bytes": 20480,
        "loaded": True,
        "active": True,
        "needed": "",
    }


async def test_models_are_listed_as_a_table(agent: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """People see the key, the state, the size and the digest's start."""
    agent.reply = STORED
    assert await agent.run("models", "a") == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows == [
        ["MODEL", "STATE", "SIZE", "DIGEST"],
        ["digits/1/fp32", "active", "20", "kB", "0" * 12],
        ["digits/1/int8", "loaded", "20", "kB", "1" * 12],
        ["digits/1/tiny", "stored", "20", "kB", "2" * 12],
    ]


@pytest.mark.parametrize(
    ("verb", "kind"), [("load", LoadModel), ("activate", ActivateModel), ("unload", UnloadModel)]
)
@pytest.mark.parametrize("as_json", [True, False])
async def test_changes_print_what_was_done(
    agent: Any, capsys: pytest.CaptureFixture[str], verb: str, kind: type, *, as_json: bool
) -> None:
    """The agent's sentence is printed, as text or as JSON."""
    agent.reply = Done("", "digits/1/fp32 is done")
    assert await agent.run(verb, "a", "digits", *(["--json"] if as_json else [])) == 0
    printed = capsys.readouterr().out.strip()
    assert (json.loads(printed)["done"] if as_json else printed) == "digits/1/fp32 is done"
    assert [(type(each), each.model) for each in agent.heard] == [(kind, "digits")]


@pytest.mark.parametrize("verb", ["load", "activate", "unload"])
async def test_a_refusal_is_raised_and_kept(agent: Any, verb: str) -> None:
    """What the agent refuses ends the command with its words, which are in the audit."""
    agent.reply = Failed("", "UNKNOWN_MODEL", "no such model", "see models")
    with pytest.raises(RequestError, match="no such model"):
        await agent.run(verb, "a", "other")
    rows = OrderBook(agent.fleet.parent / "h.db").audit(9)
    assert [row.outcome for row in rows] == [Outcome.REFUSED, Outcome.SENT, Outcome.QUEUED]
    assert rows[0].line == f"{verb} a other"
    assert "no such model" in rows[0].detail


async def test_another_kind_of_reply_is_no_success(agent: Any) -> None:
    """A greeting instead of a reply is refused as such."""
    agent.reply = hello("")
    with pytest.raises(RequestError, match="it answered with HelloReply"):
        await agent.run("load", "a", "digits")


async def test_an_unknown_device_is_explained(agent: Any) -> None:
    """Whoever mistyped a device sees which there are; nothing was sent."""
    with pytest.raises(ConfigError, match="'b' is not a device of") as caught:
        await agent.run("load", "b", "digits")
    assert caught.value.hint == "devices: a"
    assert agent.heard == []
