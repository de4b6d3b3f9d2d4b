"""The load: a process that asks at a fixed rate and keeps, for every request, what came of it and when.

`python -m faults.load` reads one `Start` line, then `Say` lines, from stdin; when stdin ends it waits for what is
still owed and writes all `Outcome`s to stdout. It speaks the wire itself, without the client library: an
answer that comes twice, late or without a label must not be hidden by what makes clients comfortable.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import sys
import time
from collections.abc import Iterator
from enum import StrEnum
from typing import Final

import msgspec
import numpy as np
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from benchmarks.pipes import write_whole
from edgeconsole.errors import EdgeConsoleError, RequestError
from edgeconsole.protocol.control import INFER_PATH
from edgeconsole.protocol.inference import (
    ClientFrame,
    RequestParameters,
    Rung,
    ServerFrame,
    decode_server_frame,
    encode_request,
)
from edgeconsole.protocol.tensors import Array
from edgeconsole.transport import open_connection
from faults.models import COLUMNS, FALLBACK, GIVES_CONSTANT, MODEL, PRIMARY, STANDBY, STATIC, rows

DRAIN_S: Final = 2.0
"""An answer that has not come so long after its deadline is lost."""
_AGAIN_S: Final = 0.1
_MAX_BYTES: Final = 1 << 20
_TOLERANCE: Final = 1e-4


class Start(msgspec.Struct, frozen=True):
    """Whom to ask, and how often."""

    url: str
    token: str
    turns: float
    rate_per_s: float
    deadline_ms: float
    seed: int
    connections: int = 2


class Say(msgspec.Struct, frozen=True):
    """What requests command from now on: a share of them, or the next `once`."""

    turns: float | None = None
    floats: float = 0.0
    kind: float = 0.0
    share: float = 1.0
    once: int = 0


class End(StrEnum):
    """What came of a request."""

    FULL = "full"
    DEGRADED = "degraded"
    REFUSED = "refused"
    LOST = "lost"


class Outcome(msgspec.Struct, array_like=True):
    """One request; times are monotonic seconds."""

    sent_s: float
    done_s: float
    end: End
    rung: Rung | None = None
    code: str = ""
    problem: str = ""
    """What is wrong with the label, or came a second time; empty: nothing."""


class Load:
    """The requests of one run."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self._rng = random.Random(start.seed)
        self._say = Say()
        self._outcomes: list[Outcome] = []
        self._owed: dict[str, tuple[int, Array]] = {}
        """By id: the outcome's place, and the row that was asked."""

    def say(self, say: Say) -> None:
        """Command something else."""
        self._say = say

    async def run(self, ended: asyncio.Event) -> list[Outcome]:
        """Ask until told to end; returns all outcomes."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(self._start.connections):
                tasks.create_task(self._stay_connected(number, ended))
        return self._outcomes

    async def _stay_connected(self, number: int, ended: asyncio.Event) -> None:
        """Ask on one connection, and on the next one if it breaks."""
        sent = itertools.count(1)
        while not ended.is_set():
            try:
                connection = await open_connection(
                    self._start.url, INFER_PATH, self._start.token, max_bytes=_MAX_BYTES
                )
            except EdgeConsoleError as error:
                print(f"connection {number}: {error}", file=sys.stderr)
                await asyncio.sleep(_AGAIN_S)
                continue
            reader = asyncio.create_task(self._read(connection))
            await self._ask(connection, reader, number, sent, ended)
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
            await connection.close()

    async def _ask(
        self,
        connection: ClientConnection,
        reader: asyncio.Task[None],
        number: int,
        sent: Iterator[int],
        ended: asyncio.Event,
    ) -> None:
        """Send at the rate until told to end, then wait for what is owed; or until it breaks."""
        gap_s = self._start.connections / self._start.rate_per_s
        mine: set[str] = set()
        due_s = time.monotonic()
        while not ended.is_set() and not reader.done():
            due_s += gap_s * self._rng.uniform(0.5, 1.5)
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            count = next(sent)
            request_id = f"{number}-{count}"
            mine.add(request_id)
            # What cannot be sent any more stays owed, and is counted as lost.
            with contextlib.suppress(ConnectionClosed):
                await connection.send(self._request(request_id, count))
        until_s = time.monotonic() + self._start.deadline_ms / 1e3 + DRAIN_S
        while not reader.done() and mine & self._owed.keys() and time.monotonic() < until_s:
            await asyncio.wait([reader], timeout=0.01)

    async def _read(self, connection: ClientConnection) -> None:
        async for frame in connection:
            self._take(frame, time.monotonic())

    def _request(self, request_id: str, number: int) -> str | bytes:
        say = self._say
        if say.once:
            self._say = msgspec.structs.replace(say, once=say.once - 1)
            if say.once == 1:
                self._say = Say()
        x = rows(1, turns=self._start.turns, seed=self._rng.getrandbits(30))
        if self._rng.random() < say.share:
            x[:, :COLUMNS] = (say.turns or self._start.turns, say.floats, say.kind)
        frame = ClientFrame(
            model_name=MODEL,
            id=request_id,
            parameters=RequestParameters(deadline_ms=self._start.deadline_ms),
        )
        # Text and binary in turn.
        encoded = encode_request(frame, {"x": x}, binary=bool(number % 2))
        self._owed[request_id] = (len(self._outcomes), x[0])
        self._outcomes.append(Outcome(time.monotonic(), 0.0, End.LOST))
        return encoded

    def _take(self, frame: str | bytes, now_s: float) -> None:
        try:
            header, outputs = decode_server_frame(frame)
        except RequestError as error:
            self._outcomes.append(Outcome(now_s, now_s, End.LOST, problem=f"unreadable: {error}"))
            return
        owed = self._owed.pop(header.id, None)
        if owed is None:
            problem = f"an answer to {header.id!r} that nobody waits for"
            self._outcomes.append(Outcome(now_s, now_s, End.LOST, problem=problem))
            return
        index, asked = owed
        outcome = self._outcomes[index]
        outcome.done_s = now_s
        if header.error is not None:
            outcome.end = End.REFUSED
            outcome.code = header.code
            if not header.code or not header.error:
                outcome.problem = "a refusal without a code or a reason"
            return
        says = header.parameters
        outcome.rung = says.rung if says is not None else None
        outcome.end = End.DEGRADED if says is None or says.degraded else End.FULL
        outcome.problem = _label_problem(header, outputs, asked)


def _label_problem(header: ServerFrame, outputs: dict[str, Array], asked: Array) -> str:
    """Return what is wrong with what an answer says of itself; empty if all is true."""
    says = header.parameters
    if says is None or not header.model_name or not header.model_version or not says.variant:
        return "no label"
    full = says.rung in (Rung.PRIMARY, Rung.SHED)
    if says.degraded == full:
        return f"{says.rung} with degraded={says.degraded}"
    if says.failsafe != (says.rung is Rung.STATIC):
        return f"{says.rung} with failsafe={says.failsafe}"
    if header.model_name != (STANDBY if says.rung is Rung.FALLBACK else MODEL):
        return f"{says.rung} from {header.model_name}"
    y, payload = outputs.get("y"), asked[COLUMNS:]
    if y is None or y.shape != (1, *payload.shape) or not np.isfinite(y).all():
        return "the output is not one"
    if says.rung is Rung.LAST_GOOD:
        return "" if says.age_ms is not None else "last_good without its age"
    expected = {Rung.FALLBACK: payload + FALLBACK, Rung.STATIC: np.array(STATIC)}
    # A constant was commanded, so it is the primary's own.
    own = np.zeros_like(payload) if asked[2] == GIVES_CONSTANT else payload + PRIMARY
    if not np.allclose(y[0], expected.get(says.rung, own), atol=_TOLERANCE):
        return f"{says.rung}, but the values are not its own"
    return ""


async def main() -> int:
    """Do one run."""
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    load = Load(msgspec.json.decode(await lines.readline(), type=Start))
    ended = asyncio.Event()
    running = asyncio.create_task(load.run(ended))
    while line := await lines.readline():
        load.say(msgspec.json.decode(line, type=Say))
    ended.set()
    outcomes = await running
    write_whole(sys.stdout.fileno(), msgspec.json.encode(outcomes))
    return 0


if __name__ == "__main__":
    try:
        import uvloop
    except ImportError:
        sys.exit(asyncio.run(main()))
    sys.exit(uvloop.run(main()))
