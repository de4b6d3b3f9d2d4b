"""Does one fault to a fresh device under load, and sees what comes of it."""

from __future__ import annotations

import asyncio
import time
import uuid
from pathlib import Path
from typing import Final

from edgeconsole.protocol.control import Release
from faults.fault import Fault, Scene
from faults.load import End
from faults.plant import DEADLINE_MS, Bundles, Plant, wait_for
from faults.shim import Shim
from faults.summary import Row, moves, summarise

WARM_S: Final = 1.5
RECOVER_S: Final = 40.0
_AFTER_S: Final = 0.5


async def run_fault(
    fault: Fault, folder: Path, bundles: Bundles, shim: Shim | None, seed: int
) -> Row:
    """Start an agent and its load, do the fault, wait until all is as before; returns its row.

    Raises `RuntimeError` if the agent does not come up.
    """
    home = folder / uuid.uuid4().hex[:8]
    async with Plant(home, bundles, fault.launch(shim), seed) as plant:
        await asyncio.sleep(WARM_S)
        scene = Scene(plant, shim, seed)
        async with fault.inject(scene):
            await asyncio.sleep(fault.hold_s)
        ended_s = time.monotonic()
        is_back = await _comes_back(scene)
        scene.check(f"not back on the primary after {RECOVER_S:.0f} s", holds=is_back)
        await asyncio.sleep(_AFTER_S)
        outcomes = await plant.outcomes()
        row = summarise(
            fault.name,
            outcomes,
            plant.events,
            begun_s=scene.begun_s,
            ended_s=ended_s,
            deadline_ms=DEADLINE_MS,
        )
        scene.check(
            "not all was well before the fault",
            holds=all(
                each.end is End.FULL
                for each in outcomes
                if each.sent_s < scene.begun_s - DEADLINE_MS / 1e3
            ),
        )
        rungs = {each.rung for each in outcomes}
        reached = {after for _, after in moves(plant.events, scene.begun_s)}
        if fault.falls_to is not None:
            scene.check(f"nothing was answered by {fault.falls_to}", holds=fault.falls_to in rungs)
            if fault.falls:
                scene.check(
                    f"the route never fell to {fault.falls_to}", holds=fault.falls_to in reached
                )
        scene.check("the agent's log has a stack trace", holds="Traceback" not in plant.log)
    if not is_back:
        row.recovery_s = None
    row.takes_cores = fault.takes_cores
    row.notes += scene.notes
    row.wrong += scene.wrong
    return row


async def _comes_back(scene: Scene) -> bool:
    """Wait until the primary answers again; a latch is released as its operator would do it."""
    plant = scene.plant

    async def is_whole() -> bool:
        route = await plant.route()
        if route.latched:
            scene.notes.append("latched, released by the operator")
            await plant.link.ask(
                Release(
                    id=plant.link.next_id(),
                    command_id=uuid.uuid4().hex,
                    actor="faults",
                    reason="the faults are over",
                )
            )
        return await plant.is_whole()

    try:
        await wait_for(is_whole, "the primary", RECOVER_S)
    except RuntimeError:
        return False
    return True
