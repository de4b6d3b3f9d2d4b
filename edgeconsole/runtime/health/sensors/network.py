"""What network interfaces transferred. Sources: proc_pid_net(5), the kernel's sysfs-class-net."""

from __future__ import annotations

from typing import Final

from edgeconsole.protocol.sensors import SensorKind, SensorReading
from edgeconsole.runtime.health.sensors.files import UnreadError
from edgeconsole.runtime.health.sensors.round import Round, whole_number

_COLUMNS: Final = (
    ("received", 0, "B"),
    ("receive_errors", 2, "1"),
    ("receive_drops", 3, "1"),
    ("sent", 8, "B"),
    ("send_errors", 10, "1"),
    ("send_drops", 11, "1"),
)
_MOST_INTERFACES: Final = 32


def read_network(round_: Round) -> list[SensorReading]:
    """Return each interface's bytes, errors and drops since it is there; loopback is left out."""
    path = round_.proc("self/net/dev")
    try:
        lines = round_.lines(path)
    except UnreadError:
        path = round_.proc("net/dev")
        try:
            lines = round_.lines(path)
        except UnreadError:
            return []
    readings: list[SensorReading] = []
    for line in lines[2:]:
        name, colon, rest = line.rpartition(":")
        name, words = name.strip(), rest.split()
        if not colon or name in ("", "lo") or len(words) < 12:
            continue
        if len(readings) >= len(_COLUMNS) * _MOST_INTERFACES:
            break
        if not any(word != "0" for word in words):
            continue  # Made by a driver, and never used.
        state = "" if "/" in name else round_.label(round_.sys(f"class/net/{name}/operstate"))
        for what, column, unit in _COLUMNS:
            try:
                value = float(whole_number(words[column]))
            except UnreadError as error:
                reason = error.reason
                readings.append(
                    round_.unknown(SensorKind.NETWORK, f"{name}/{what}", unit, path, reason)
                )
                continue
            readings.append(
                round_.reading(SensorKind.NETWORK, f"{name}/{what}", value, unit, path, state=state)
            )
    return readings
