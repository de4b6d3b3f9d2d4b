"""Systems under test: started, asked once for the right answer, then driven by the client process."""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from benchmarks.jobs import WEBSOCKET, Endpoint
from benchmarks.models import BenchModel
from benchmarks.peers import READY, Launch, Mode, Peer
from benchmarks.process import BenchError, Processes, Tree, free_port
from benchmarks.wire import Connection, connection_class
from edgeconsole.errors import EdgeConsoleError, RequestError
from edgeconsole.fleet.control import ControlLink
from edgeconsole.protocol.control import INFER_PATH, GetStatus, StatusReply
from edgeconsole.protocol.inference import (
    ClientFrame,
    RequestParameters,
    decode_server_frame,
    encode_request,
)
from edgeconsole.protocol.tensors import Array
from edgeconsole.specs import ModelDeploymentSpec, ServingConfig

AGENT: Final = "edgeconsole"
ONE_WORKER: Final = "one worker"
AGENT_ONE: Final = f"{AGENT}, {ONE_WORKER}"
"""The label of our agent on one worker and one thread, as the bare call runs."""
ECHO: Final = "raw echo"
START_TIMEOUT_S: Final = 90.0
REQUEST_ID: Final = "00000000"
_ASK_TIMEOUT_S: Final = 20.0
_TRY_EVERY_S: Final = 0.002
_DEVICE_TOML: Final = """\
agent_id = "bench"
state_dir = "state"

[server]
port = {port}

[serving]
{serving}
"""
_MODEL_TOML: Final = """
[[models]]
model_id = "{name}"
bundle = "{bundle}"
deadline_ms = 10000.0
"""
_ONE_WORKER_TOML: Final = "workers = 1\nintra_op_threads = 1\n"


@dataclass
class Server:
    """One running system under test, for one model."""

    name: str
    mode: str
    endpoint: Endpoint
    tree: Tree
    request: bytes
    """What its clients send for `BenchModel.input`."""
    peer: Peer | None = None
    workers: int = 0
    """How many processes run its model; 0: unknown, or none does."""
    first_answer_s: float = 0.0
    """From the start of its process to its first answer."""
    config: Path | None = field(default=None, repr=False)

    @property
    def label(self) -> str:
        """The name in tables."""
        return f"{self.name}, {self.mode}" if self.mode else self.name

    @property
    def setting(self) -> dict[str, str]:
        """What of it is a column in tables."""
        return {"workers": str(self.workers)} if self.workers else {}

    def decode(self, body: bytes, shape: tuple[int, ...]) -> Array:
        """Return the output in an answer's body."""
        if self.peer is not None:
            return self.peer.decode(body, shape)
        return next(iter(decode_server_frame(body)[1].values()))


def start_echo(processes: Processes, model: BenchModel) -> Server:
    """Start the raw echo server; it gets the bytes that the agent would get."""
    port = free_port()
    started_s = time.monotonic()
    tree = processes.start([sys.executable, "-m", "benchmarks.echo", str(port)])
    server = Server(ECHO, "", Endpoint(port, WEBSOCKET), tree, agent_request(model))
    _wait_for_answer(server, started_s)
    return server


def start_agent(
    processes: Processes,
    home: Path,
    models: tuple[BenchModel, ...],
    *,
    mode: str = "",
    serving: str = "",
    model_options: str = "",
) -> Server:
    """Start our agent in a folder of its own, with its state if it was there before.

    The server's request is for the first model.
    """
    port = free_port()
    home.mkdir(parents=True, exist_ok=True)
    config = home / "device.toml"
    text = _DEVICE_TOML.format(port=port, serving=serving)
    for model in models:
        text += _MODEL_TOML.format(name=model.name, bundle=model.bundle) + model_options
    config.write_text(text)
    command = [sys.executable, "-m", "edgeconsole.runtime.cli", "--config", str(config)]
    started_s = time.monotonic()
    tree = processes.start([*command, "--log-level", "warning"])
    token = _token(home / "state" / "token", tree)
    endpoint = Endpoint(port, WEBSOCKET, INFER_PATH, token=token)
    server = Server(AGENT, mode, endpoint, tree, agent_request(models[0]), config=config)
    _wait_for_answer(server, started_s)
    return server


def start_agents(processes: Processes, home: Path, model: BenchModel) -> list[Server]:
    """Start our agent as it comes, and once more on one worker and one thread."""
    servers = [
        start_agent(processes, home / "default", (model,)),
        start_agent(
            processes, home / "one", (model,), mode=ONE_WORKER, model_options=_ONE_WORKER_TOML
        ),
    ]
    for server in servers:
        server.tree.settle()
        server.workers = asyncio.run(_count_workers(server, model.name))
    return servers


def start_peer(
    processes: Processes, peer: Peer, model: BenchModel, *, python: str, mode: Mode, timeout_ms: int
) -> Server:
    """Start a peer's server for a model; raises `BenchError` if it does not come up."""
    port = free_port()
    started_s = time.monotonic()
    command = peer.command(Launch(python, model.onnx, port, mode, timeout_ms))
    tree = processes.start(command)
    request = peer.encode(model.input)
    server = Server(
        peer.name, mode.label, peer.endpoint(port), tree, request, peer=peer, workers=mode.workers
    )
    _wait_for_answer(server, started_s)
    _wait_for_workers(server)
    return server


def agent_request(
    model: BenchModel,
    *,
    deadline_ms: float | None = None,
    priority: int | None = None,
    cache: bool | None = None,
) -> bytes:
    """Return a binary frame for our agent, with `REQUEST_ID` as its id."""
    parameters = RequestParameters(deadline_ms=deadline_ms)
    if priority is not None:
        parameters.priority = priority
    if cache is not None:
        parameters = msgspec.structs.replace(parameters, cache=cache)
    frame = ClientFrame(model_name=model.name, id=REQUEST_ID, parameters=parameters)
    encoded = encode_request(frame, {model.input_name: model.input})
    assert isinstance(encoded, bytes)
    return encoded


def cache_is_supported() -> bool:
    """Say whether this version of the agent has a cache to switch on."""
    return (
        "cache" in RequestParameters.__struct_fields__
        and "cache_mb" in ServingConfig.__struct_fields__
        and "cache" in ModelDeploymentSpec.__struct_fields__
    )


def check_answer(server: Server, model: BenchModel) -> None:
    """Ask once and compare with the bare model; raises `BenchError` if the answer is wrong."""
    try:
        good, body = asyncio.run(_ask(server.endpoint, server.request))
    except OSError as error:
        raise BenchError(f"{server.label} does not answer: {error}") from error
    if not good:
        raise BenchError(f"{server.label} refused: {body[:200].decode('utf-8', 'replace')}")
    if server.name == ECHO:
        return
    expected = model.expected()
    try:
        got = server.decode(body, expected.shape)
    except (ValueError, RequestError) as error:
        raise BenchError(f"{server.label} answered what cannot be read: {error}") from error
    if not np.allclose(got, expected, rtol=1e-3, atol=1e-4):
        raise BenchError(f"{server.label} gave a wrong answer for {model.name}")


def is_cached(server: Server, request: bytes) -> bool:
    """Say whether our agent answers a request from its cache the second time."""
    asyncio.run(_ask(server.endpoint, request))
    _, body = asyncio.run(_ask(server.endpoint, request))
    about = decode_server_frame(body)[0].parameters
    return bool(getattr(about, "cached", False))


def wait_until_idle(server: Server) -> None:
    """Wait until what an earlier load left behind is done; raises `BenchError`."""
    _wait_for_answer(server, time.monotonic())


def _wait_for_answer(server: Server, started_s: float) -> None:
    """Ask until there is an answer; notes how long that took."""
    said = "nothing"
    while time.monotonic() - started_s < START_TIMEOUT_S:
        if not server.tree.alive:
            break
        try:
            good, body = asyncio.run(_ask(server.endpoint, server.request))
        except OSError as error:
            said = str(error)
        else:
            if good:
                server.first_answer_s = time.monotonic() - started_s
                return
            said = body[:200].decode("utf-8", "replace")
        time.sleep(_TRY_EVERY_S)
    raise BenchError(f"{server.label} does not answer ({said}); {server.tree.last_words()}")


def _wait_for_workers(server: Server) -> None:
    """Wait until all workers of a peer are up, not only the one that answered first."""
    until_s = time.monotonic() + START_TIMEOUT_S
    while (ready := server.tree.said().count(READY)) < server.workers:
        if time.monotonic() > until_s or not server.tree.alive:
            raise BenchError(
                f"{server.label}: {ready} of {server.workers} workers are up; "
                f"{server.tree.last_words()}"
            )
        time.sleep(_TRY_EVERY_S)


async def _count_workers(server: Server, model: str) -> int:
    """Ask our agent how many workers run a model; raises `BenchError`."""
    url = f"ws://127.0.0.1:{server.endpoint.port}"
    try:
        async with ControlLink(url, server.endpoint.token) as link:
            await link.hello()
            reply = await link.ask(GetStatus(id=link.next_id()))
    except EdgeConsoleError as error:
        raise BenchError(f"{server.label} does not tell its workers: {error}") from error
    assert isinstance(reply, StatusReply)
    return sum(len(each.worker_pids) for each in reply.sample.models if each.model == model)


async def _ask(endpoint: Endpoint, request: bytes) -> tuple[bool, bytes]:
    """Send one request on a connection of its own."""
    answer: asyncio.Future[tuple[bool, bytes]] = asyncio.get_running_loop().create_future()

    def take(_connection: Connection, good: bool, body: bytes) -> None:  # noqa: FBT001
        if not answer.done():
            answer.set_result((good, body))

    def lost(_connection: Connection) -> None:
        if not answer.done():
            answer.set_exception(ConnectionError("the server hung up"))

    connection = await connection_class(endpoint.transport).open(endpoint, take, lost)
    try:
        connection.send(connection.wrap(request))
        async with asyncio.timeout(_ASK_TIMEOUT_S):
            return await answer
    finally:
        connection.close()


def _token(file: Path, tree: Tree) -> str:
    """Wait for the token that an agent makes at its first start."""
    until_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < until_s and tree.alive:
        try:
            token = file.read_text().strip()
        except FileNotFoundError:
            token = ""
        if token:
            return token
        time.sleep(_TRY_EVERY_S)
    raise BenchError(f"the agent did not start: {tree.last_words()}")
