"""Gives a confirmed order to the desk, and says for some seconds what becomes of it. No Textual."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from edgeconsole.errors import StoreError
from edgeconsole.fleet.orders import Intent
from edgeconsole.fleet.tasks import REPLY_S
from edgeconsole.tui.confirm_lines import outcome_text
from edgeconsole.tui.service import OrderDesk
from edgeconsole.tui.state import ConsoleState

LOOK_S: Final = 0.25
LOOKS: Final = 40
"""After so many looks what is not final is left to the device's screen and the audit.

More of them where a device may take longer to reply.
"""


async def give(
    intent: Intent,
    devices: tuple[str, ...],
    desk: OrderDesk,
    state: ConsoleState,
    draw: Callable[[], None],
) -> None:
    """Give the order; whatever becomes of it is told on the screen."""
    try:
        await desk.order(intent, devices)
    except StoreError as error:
        state.tell(f"nothing was ordered: {error}")
        draw()
        return
    for _ in range(LOOKS * max(1, round(intent.reply_s / REPLY_S))):
        try:
            standings = await desk.standings(intent.command_id)
        except StoreError as error:
            state.tell(f"{intent.kind.value} was ordered; what became of it is unknown: {error}")
            draw()
            return
        state.tell(outcome_text(intent, standings))
        draw()
        if all(standing.outcome.final for standing in standings):
            return
        await asyncio.sleep(LOOK_S)
