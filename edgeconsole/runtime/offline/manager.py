"""`OfflineCapabilityManager`: what is kept while nobody listens, and handing it over when somebody does.

Samples and events are gathered in memory and written by one thread every ten seconds. What the disk
refuses waits, bounded, and the agent's live work goes on.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from edgeconsole.durations import duration_text
from edgeconsole.errors import ErrorCode, RequestError, StoreError
from edgeconsole.protocol.backlog import Gap
from edgeconsole.protocol.control import Backfill, BackfillReply
from edgeconsole.protocol.figures import Figures, figures_of
from edgeconsole.protocol.rollups import MINUTE_S
from edgeconsole.protocol.telemetry import BacklogSample, DeviceEvent, DeviceSample, Severity
from edgeconsole.runtime.failsafe.orders import OnEvent
from edgeconsole.runtime.offline.backlog import Backlog, Fill
from edgeconsole.runtime.offline.minute import Minute, joined, minute_of
from edgeconsole.runtime.offline.outbox_file import damaged
from edgeconsole.runtime.offline.room import Limits
from edgeconsole.specs import TelemetryConfig

COMMIT_S: Final = 10.0
"""What a power cut may cost."""
MAX_WAITING_MINUTES: Final = 60
"""Overflow rule while the disk refuses: the oldest minute is dropped, and leaves a gap record."""
ALONE_S: Final = 300.0
"""Consoles ask every two minutes; silent for so long, nobody listens."""

_Result = TypeVar("_Result")


class OfflineCapabilityManager:
    """Owns the backlog."""

    def __init__(
        self,
        path: Path,
        config: TelemetryConfig,
        boot_id: str,
        on_event: OnEvent,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        limits = Limits(
            max_bytes=config.buffer_mb << 20,
            max_age_s=config.keep_days * 86_400.0,
            min_free_bytes=config.min_free_mb << 20,
        )
        self._limits = limits
        self._backlog = Backlog(path, limits, clock)
        self._boot_id = boot_id
        self._on_event = on_event
        self._clock = clock
        self._wall_clock = wall_clock
        self._thread: ThreadPoolExecutor | None = None
        self._busy = asyncio.Lock()
        self._is_open = False
        self._seq = 0
        self._waiting: deque[Minute] = deque()
        """Minutes that are over and not written yet, and the one that goes on."""
        self._before: Figures | None = None
        self._lost_samples = 0
        self._fill = Fill()
        self._asked_s: float | None = None
        self._alone_since_unix_s: float | None = None
        self.problem = ""
        """Why nothing is written at the moment; empty while all is well."""

    # What is kept.

    def add_sample(self, sample: DeviceSample) -> None:
        """Keep the sample of a second."""
        figures = figures_of(sample)
        minute = self._minute(figures.time_unix_s)
        self._seq += 1
        minute.add_sample(self._seq, figures)
        self._before = figures

    def add_event(self, event: DeviceEvent) -> None:
        """Keep an event."""
        minute = self._minute(event.time_unix_s)
        self._seq += 1
        minute.add_event(self._seq, event)

    def sample(self) -> BacklogSample:
        """Return how full it is, as of the latest commit."""
        fill = self._fill
        return BacklogSample(
            used_bytes=fill.used_bytes,
            budget_bytes=self._limits.max_bytes,
            samples=fill.samples,
            oldest_unix_s=fill.oldest_unix_s,
            asked_unix_s=fill.asked_unix_s,
            thinned_blocks=fill.thinned_blocks,
            dropped_total=self._backlog.dropped_samples + self._lost_samples,
            disk_free_bytes=fill.disk_free_bytes,
            disk_total_bytes=fill.disk_total_bytes,
            problem=self.problem,
            gaps=fill.gaps,
        )

    def _minute(self, time_unix_s: float) -> Minute:
        """Return the minute a moment falls into, ending the one before and beginning it if need be."""
        if self._waiting and self._waiting[-1].holds(time_unix_s):
            return self._waiting[-1]
        if self._waiting:
            self._waiting[-1].closed = True
        minute = Minute(self._seq + 1, minute_of(time_unix_s), self._before)
        self._waiting.append(minute)
        if len(self._waiting) > MAX_WAITING_MINUTES:
            self._lose(self._waiting.popleft())
        return minute

    def _lose(self, minute: Minute) -> None:
        since = minute.start_unix_s
        lost = len(minute.samples) - minute.written
        gap = Gap(
            since,
            since + MINUTE_S,
            lost,
            len(minute.events) + minute.events_lost,
            "the disk refused",
        )
        gap = gap if minute.gap is None else joined(minute.gap, gap)
        self._lost_samples += lost
        self._waiting[0].gap = gap

    # Writing.

    async def open(self) -> None:
        """Open the backlog; one that cannot be used is tried again, and live telemetry goes on."""
        self._thread = ThreadPoolExecutor(1, "backlog")
        await self.commit()

    async def run(self) -> None:
        """Write for ever, every ten seconds."""
        while True:
            await asyncio.sleep(COMMIT_S)
            await self.commit()

    async def commit(self) -> None:
        """Write what waits; what the disk refuses goes on waiting, and `problem` says why."""
        self._look_for_consoles()
        async with self._busy:
            try:
                await self._write()
            except StoreError as error:
                self._refused(error)
            else:
                if self.problem:
                    self._on_event(Severity.INFO, "telemetry_kept", "telemetry is kept again")
                self.problem = ""

    async def close(self) -> None:
        """Write what waits and close."""
        if self._thread is None:
            return
        if self._waiting:
            self._waiting[-1].closed = True
        await self.commit()
        await self._in_thread(self._backlog.close)
        self._thread.shutdown()
        self._thread = None

    async def _write(self) -> None:
        if not self._is_open:
            said = await self._in_thread(self._backlog.open, self._boot_id)
            self._is_open = True
            if said:
                self._on_event(Severity.WARNING, "outbox_damaged", said)
        minutes = [minute.copied() for minute in self._waiting]
        if minutes:
            await self._in_thread(self._backlog.write, minutes)
            written = {minute.first for minute in minutes if minute.closed}
            while self._waiting and self._waiting[0].first in written:
                self._waiting.popleft()
            if self._waiting and self._waiting[0].first == minutes[-1].first:
                self._waiting[0].written = len(minutes[-1].samples)
        self._fill = await self._in_thread(self._backlog.fill)

    def _refused(self, error: StoreError) -> None:
        if not self.problem:
            self._on_event(
                Severity.WARNING,
                "telemetry_not_kept",
                f"telemetry waits in memory: {error.message}",
            )
        self.problem = error.message
        if damaged(error):
            self._is_open = False

    async def _in_thread(self, work: Callable[..., _Result], *arguments: object) -> _Result:
        if self._thread is None:
            raise StoreError("the backlog is not open")
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    # Handing over.

    async def backfill(self, command: Backfill) -> BackfillReply:
        """Return what a console missed.

        Raises:
            RequestError: its cursor is not one of ours, or the backlog cannot be read now.
        """
        self._asked_s = self._clock()
        self._note_console()
        async with self._busy:
            try:
                await self._write()
                return await self._in_thread(self._backlog.read, command, self._wall_clock())
            except StoreError as error:
                self._refused(error)
                raise RequestError(
                    ErrorCode.NOT_READY, error.message, hint="ask again in a minute"
                ) from error

    def _look_for_consoles(self) -> None:
        """Note when nobody has asked for long, once."""
        if self._alone_since_unix_s is not None or self._asked_s is None:
            return
        silent_s = self._clock() - self._asked_s
        if silent_s > ALONE_S:
            self._alone_since_unix_s = self._wall_clock() - silent_s
            self._on_event(
                Severity.INFO, "nobody_listens", "no console asks any more; telemetry is kept here"
            )

    def _note_console(self) -> None:
        """Note when somebody asks again."""
        since = self._alone_since_unix_s
        if since is None:
            return
        self._alone_since_unix_s = None
        away = duration_text(max(0.0, self._wall_clock() - since))
        self._on_event(Severity.INFO, "somebody_listens", f"a console asks again, after {away}")
