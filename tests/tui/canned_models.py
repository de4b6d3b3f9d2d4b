"""Canned stores of devices for tests and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from canned_jobs import BEST, BUNDLE, MIB, NOON

from edgeconsole.fleet.findings import Findings, Measured
from edgeconsole.fleet.model_desk import DeviceModels
from edgeconsole.protocol.control import StoredModel

OTHER: Final = "e" * 64
TINY: Final = "f" * 64


def bundle(
    variant: str, digest: str, size: int, *, active: bool = False, model: str = "yolo-n"
) -> StoredModel:
    """Return a stored bundle."""
    return StoredModel(
        model, "1.2.0", variant, digest, "detection", size, loaded=active, active=active
    )


FOUND: Final = Findings(
    "job-3",
    "yolo-n",
    NOON + 244,
    2.6,
    {
        BUNDLE.digest: Measured(19.2, 1.0, "accuracy", 0.931, 0.0, recommended=False),
        BEST.digest: Measured(7.38, 2.6, "accuracy", 0.9284, 0.26, recommended=True),
        OTHER: Measured(14.8, 1.3, "accuracy", 0.9297, 0.13, recommended=False),
    },
)


def said() -> list[DeviceModels]:
    """Return stores that differ, one of before, and one of a device that never said."""
    fp32, int8 = ("fp32", BUNDLE.digest, 12 * MIB), ("int8-static", BEST.digest, 3 * MIB)
    tiny = bundle("int8", TINY, 400_000, model="tiny")
    return [
        DeviceModels(
            "dock-0188",
            (bundle(*fp32, active=True), bundle(*int8), bundle("fused", OTHER, 9 * MIB), tiny),
            (FOUND,),
            NOON + 300,
        ),
        DeviceModels("cart-0001", (bundle(*fp32), bundle(*int8, active=True)), (), NOON + 300),
        DeviceModels("cart-0002", (bundle(*int8, active=True), tiny), (), NOON + 300),
        DeviceModels(
            "gate-0020",
            (bundle("fp16", "9" * 64, 6 * MIB, active=True),),
            (),
            NOON - 60,
            "no answer to ping",
        ),
        DeviceModels("cam-05", note="connection refused"),
    ]


@dataclass
class CannedModels:
    """Answers as told."""

    said: list[DeviceModels] = field(default_factory=said)
    asked: list[tuple[str, ...]] = field(default_factory=list)

    async def look(self, device_ids: Sequence[str]) -> list[DeviceModels]:
        """Return what is told of these devices."""
        self.asked.append(tuple(device_ids))
        return [each for each in self.said if each.device_id in device_ids]
