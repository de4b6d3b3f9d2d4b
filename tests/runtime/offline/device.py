"""A device that is fed second by second, on clocks that move when told."""

from __future__ import annotations

import random
from pathlib import Path

from edgeconsole.protocol.backlog import Block, unpack
from edgeconsole.protocol.control import Backfill, BackfillReply
from edgeconsole.protocol.figures import Figures
from edgeconsole.protocol.telemetry import (
    DeviceEvent,
    DeviceSample,
    ModelSample,
    ModelState,
    Quality,
    Reading,
    Severity,
)
from edgeconsole.runtime.offline.manager import OfflineCapabilityManager
from edgeconsole.specs import AgentState, TelemetryConfig

START_UNIX_S = 1_750_000_020.0
"""The beginning of a minute."""
SINK = "sink-of-console-1"


class Device:
    """A device whose seconds pass when told, and its backlog."""

    def __init__(
        self, path: Path, config: TelemetryConfig, boot_id: str = "boot-1", at: float = START_UNIX_S
    ) -> None:
        self.path = path
        self.boot_id = boot_id
        self.unix_s = at
        self.now_s = 1000.0
        self.events: list[str] = []
        self._event_seq = 0
        self._random = random.Random(7)
        self._answered = 0
        self._seq = 0
        self.manager = OfflineCapabilityManager(
            path,
            config,
            boot_id,
            self._record,
            clock=lambda: self.now_s,
            wall_clock=lambda: self.unix_s,
        )

    def _record(
        self, severity: Severity, kind: str, message: str, transition: object = None
    ) -> None:
        """Do as the collector does: what the manager tells becomes an event that it keeps."""
        del transition
        self.events.append(kind)
        self.event(kind, severity, message)

    def event(
        self, kind: str = "kind", severity: Severity = Severity.INFO, message: str = ""
    ) -> None:
        """Let something happen."""
        self._event_seq += 1
        self.manager.add_event(
            DeviceEvent(
                "dev-1", self.boot_id, self._event_seq, self.unix_s, severity, kind, message
            )
        )

    def sample(self) -> DeviceSample:
        """Return the device as it is now, busy and noisy."""
        noise = self._random.gauss
        self._seq += 1
        self._answered += max(0, int(noise(120, 10)))
        model = ModelSample(
            model="digits",
            version="1",
            variant="fp32",
            digest="d" * 64,
            state=ModelState.READY,
            active=True,
            deadline_ms=50.0,
            p50_ms=noise(4, 0.3),
            p95_ms=noise(8, 0.8),
            p99_ms=noise(14, 2),
            rate_per_s=abs(noise(120, 5)),
            requests_total=self._answered,
            answered_total=self._answered,
        )
        return DeviceSample(
            device_id="dev-1",
            boot_id=self.boot_id,
            seq=self._seq,
            time_unix_s=round(self.unix_s, 3),
            state=AgentState.PROCESSING if self._random.random() < 0.3 else AgentState.READY,
            uptime_s=self.now_s,
            temp_c=Reading(noise(60, 0.8), "°C", "zone", Quality.MEASURED),
            power_w=Reading(abs(noise(7, 0.5)), "W", "rail", Quality.DERIVED),
            cpu_percent=abs(noise(40, 9)),
            memory_percent=abs(noise(30, 0.2)),
            memory_used_bytes=1 << 30,
            agent_rss_bytes=1 << 25,
            connections=1,
            models=(model,),
        )

    def live(self, seconds: int) -> None:
        """Let seconds pass, each with its sample."""
        for _ in range(seconds):
            self.manager.add_sample(self.sample())
            self.unix_s += 1
            self.now_s += 1

    async def live_on(self, seconds: int, commit_s: int = 600) -> None:
        """Let seconds pass, and write every now and then."""
        while seconds > 0:
            step = min(commit_s, seconds)
            self.live(step)
            await self.manager.commit()
            seconds -= step

    async def ask(
        self, boot_id: str = "", seq: int = 0, *, sink: str = SINK, limit: int = 64
    ) -> BackfillReply:
        """Ask once, as a console does."""
        return await self.manager.backfill(Backfill("1", sink, boot_id, seq, limit))

    async def drain(
        self, boot_id: str = "", seq: int = 0, *, sink: str = SINK, limit: int = 64
    ) -> list[Block]:
        """Ask until there is nothing more, and acknowledge the last."""
        blocks: list[Block] = []
        while True:
            reply = await self.ask(boot_id, seq, sink=sink, limit=limit)
            if not reply.blocks:
                return blocks
            blocks += [unpack(each.data) for each in reply.blocks]
            boot_id, seq = reply.blocks[-1].boot_id, reply.blocks[-1].last


def samples(blocks: list[Block]) -> list[Figures]:
    """Return the samples of some blocks."""
    return [sample for block in blocks for sample in block.samples]
