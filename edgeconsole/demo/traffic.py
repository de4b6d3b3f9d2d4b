"""The demo's clients: they send held-out images, compare the answers with the labels, and count."""

from __future__ import annotations

import asyncio
import itertools
import math
import random
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from edgeconsole.client import EdgeClient
from edgeconsole.demo.data import load_heldout
from edgeconsole.errors import EdgeConsoleError
from edgeconsole.protocol.tensors import Array
from edgeconsole.transport import Backoff

DEADLINE_MS: Final = 50.0
_KEPT_LATENCIES: Final = 100_000
_WAVE_S: Final = 45.0
"""The load swells and falls with this period, so that the charts have something to show."""


@dataclass(slots=True)
class Score:
    """What one device has answered; latencies as the client saw them."""

    answered: int = 0
    correct: int = 0
    errors: int = 0
    model: str = ""
    variant: str = ""
    last_error: str = ""
    latencies_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT_LATENCIES))

    @property
    def accuracy(self) -> float | None:
        """Return the share of answers that were right; `None` without answers."""
        return self.correct / self.answered if self.answered else None

    def percentile_ms(self, percent: float) -> float | None:
        """Return a percentile of the latencies; `None` without answers."""
        if not self.latencies_ms:
            return None
        return float(np.percentile(np.fromiter(self.latencies_ms, np.float64), percent))


class DemoTraffic:
    """One client that keeps asking one device."""

    def __init__(self, url: str, token: str, rate_per_s: float, *, seed: int) -> None:
        self.score = Score()
        self._url = url
        self._token = token
        self._rate_per_s = rate_per_s
        self._random = random.Random(seed)
        self._images, self._labels = load_heldout()

    async def run(self) -> None:
        """Ask for ever; a device that is away is waited for."""
        backoff = Backoff()
        while True:
            try:
                async with EdgeClient(self._url, token=self._token) as client:
                    backoff.reset()
                    await self._ask_all(client)
            except EdgeConsoleError as error:
                self.score.last_error = str(error)
                await asyncio.sleep(backoff.next_s())

    async def _ask_all(self, client: EdgeClient) -> None:
        order = list(range(len(self._labels)))
        self._random.shuffle(order)
        async with asyncio.TaskGroup() as tasks:
            for index in itertools.cycle(order):
                image = self._images[index : index + 1]
                tasks.create_task(self._ask(client, image, int(self._labels[index])))
                wave = 1.0 + 0.5 * math.sin(2 * math.pi * time.monotonic() / _WAVE_S)
                await asyncio.sleep(self._random.expovariate(self._rate_per_s * wave))

    async def _ask(self, client: EdgeClient, image: Array, label: int) -> None:
        score = self.score
        try:
            result = await client.infer("digits", {"image": image}, deadline_ms=DEADLINE_MS)
        except EdgeConsoleError as error:
            score.errors += 1
            score.last_error = str(error)
            return
        score.answered += 1
        score.correct += int(result.outputs["logits"].argmax() == label)
        score.latencies_ms.append(result.timing.round_trip_ms)
        score.model, score.variant = result.model, result.variant
