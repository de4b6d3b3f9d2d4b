"""A thousand devices in one program, for `benchmarks.history`: they push, keep minutes, and are asked.

    python -m benchmarks.history_devices

Prints its port. Every connection is a device of its own: one sample a second, blocks on demand.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import time
from collections import deque
from typing import Final

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from edgeconsole.protocol.backlog import Block, pack
from edgeconsole.protocol.control import (
    SUBPROTOCOL,
    Backfill,
    BackfillReply,
    Command,
    Done,
    Hello,
    HelloReply,
    SamplePush,
    StoredBlock,
    Subscribe,
    decode_command,
    encode,
)
from edgeconsole.protocol.figures import Figures, figures_of
from edgeconsole.protocol.rollups import MINUTE_S, fold
from edgeconsole.protocol.telemetry import DeviceSample, ModelSample, ModelState, Quality, Reading
from edgeconsole.specs import AgentState, EdgeDeploymentTier, EdgeDeviceSpec, LatencyRequirement

_KEPT_S: Final = 180


def busy_sample(boot_id: str, seq: int, time_unix_s: float, chance: random.Random) -> DeviceSample:
    """Return a noisy sample of a device with two models, as large as a real agent's."""
    models = tuple(
        ModelSample(
            model=name,
            version="1",
            variant="fp32",
            digest="d" * 64,
            state=ModelState.READY,
            active=True,
            deadline_ms=50.0,
            worker_pids=(4711,),
            intra_op_threads=1,
            p50_ms=abs(chance.gauss(4, 0.3)),
            p95_ms=abs(chance.gauss(8, 0.8)),
            p99_ms=abs(chance.gauss(14, 2)),
            infer_p50_ms=3.0,
            rate_per_s=abs(chance.gauss(60, 5)),
            requests_total=seq * 60,
            answered_total=seq * 60,
            rss_bytes=1 << 26,
        )
        for name in ("digits", "digits-tiny")
    )
    return DeviceSample(
        device_id="device",
        boot_id=boot_id,
        seq=seq,
        time_unix_s=round(time_unix_s, 3),
        state=AgentState.PROCESSING,
        uptime_s=float(seq),
        temp_c=Reading(chance.gauss(60, 0.8), "°C", "zone0", Quality.MEASURED),
        power_w=Reading(abs(chance.gauss(7, 0.5)), "W", "rail", Quality.DERIVED),
        cpu_percent=abs(chance.gauss(40, 9)),
        memory_percent=30.0,
        memory_used_bytes=1 << 30,
        agent_rss_bytes=1 << 25,
        connections=1,
        models=models,
    )


class _Device:
    """One connection."""

    def __init__(self, connection: ServerConnection, number: int) -> None:
        self._connection = connection
        self._boot_id = f"boot-{number:08}"
        self._chance = random.Random(number)
        self._kept: deque[tuple[int, Figures]] = deque(maxlen=_KEPT_S)
        self._seq = 0

    async def run(self) -> None:
        """Answer until the console leaves."""
        with contextlib.suppress(ConnectionClosed):
            async for frame in self._connection:
                command = decode_command(frame)
                await self._connection.send(encode(self._answer(command)))
                if isinstance(command, Subscribe):
                    break
            pushing = asyncio.create_task(self._push())
            try:
                async for frame in self._connection:
                    await self._connection.send(encode(self._answer(decode_command(frame))))
            finally:
                pushing.cancel()
                await asyncio.gather(pushing, return_exceptions=True)

    def _answer(self, command: Command) -> HelloReply | BackfillReply | Done:
        if isinstance(command, Hello):
            return HelloReply(
                id=command.id,
                version=1,
                agent_id="device",
                agent_version="0",
                boot_id=self._boot_id,
                tier=EdgeDeploymentTier.DEVICE_EDGE,
                latency_requirement=LatencyRequirement.INTERACTIVE,
                device=EdgeDeviceSpec(device_id="device"),
                platform="benchmark",
            )
        if isinstance(command, Backfill):
            since = command.seq if command.boot_id == self._boot_id else 0
            return BackfillReply(command.id, tuple(self._blocks(since)), more=False)
        return Done(command.id)

    def _blocks(self, since: int) -> list[StoredBlock]:
        by_minute: dict[int, list[tuple[int, Figures]]] = {}
        for seq, figures in self._kept:
            start = int(figures.time_unix_s // MINUTE_S) * MINUTE_S
            by_minute.setdefault(start, []).append((seq, figures))
        found = []
        for start, kept in by_minute.items():
            samples = tuple(figures for _, figures in kept)
            if kept[-1][0] > since:
                over = start + MINUTE_S <= time.time()
                rollup = fold(samples) if over else None
                data = pack(Block(samples, rollup=rollup, minute_unix_s=float(start)))
                found.append(StoredBlock(self._boot_id, kept[0][0], kept[-1][0], data))
        return found

    async def _push(self) -> None:
        await asyncio.sleep(self._chance.random())
        while True:
            self._seq += 1
            sample = busy_sample(self._boot_id, self._seq, time.time(), self._chance)
            self._kept.append((self._seq, figures_of(sample)))
            await self._connection.send(encode(SamplePush(sample)))
            await asyncio.sleep(1.0)


async def _serve() -> None:
    number = 0

    async def handle(connection: ServerConnection) -> None:
        nonlocal number
        number += 1
        await _Device(connection, number).run()

    async with serve(
        handle, "127.0.0.1", 0, subprotocols=[Subprotocol(SUBPROTOCOL)], compression=None
    ) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve())
