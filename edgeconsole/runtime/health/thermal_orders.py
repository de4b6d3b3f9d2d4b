"""What an operator forced on the thermal policy, and until when; the rules of that are pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.protocol.control import ForceThermal
from edgeconsole.protocol.thermal import ThermalOverride, ThermalState
from edgeconsole.runtime.health.thermal_state import Forced

MOST_HOTTER_S: Final = 3600.0
"""A state that may be hotter than the device's own is forced for no longer than this."""
_COOLING: Final = (ThermalState.HOT, ThermalState.CRITICAL)


@dataclass(frozen=True, slots=True)
class ThermalOrder:
    """One order; times are monotonic seconds. It ends with the agent."""

    forced: Forced
    until_s: float

    def shown(self, now_s: float, *, ignored: bool) -> ThermalOverride:
        """Return it as telemetry has it."""
        return ThermalOverride(
            state=self.forced.state,
            actor=self.forced.actor,
            reason=self.forced.reason,
            left_s=max(0.0, self.until_s - now_s),
            ignored=ignored,
        )


def order_of(command: ForceThermal, now_s: float) -> ThermalOrder | None:
    """Return the order of a command; `None` if it ends what is forced. Raises `RequestError`."""
    state = command.state
    if state is None:
        return None
    if state is ThermalState.UNKNOWN:
        raise RequestError(ErrorCode.BAD_PARAMETER, "a state that is forced must be a known one")
    if state not in _COOLING and command.for_s > MOST_HOTTER_S:
        raise RequestError(
            ErrorCode.BAD_PARAMETER,
            f"{state} may allow more than the device should do, so it is forced for at most "
            f"{MOST_HOTTER_S:.0f} s, not {command.for_s:.0f} s",
            hint="order it for a shorter time",
        )
    forced = Forced(state, command.actor, command.reason)
    return ThermalOrder(forced, now_s + command.for_s)
