"""A whole `fleet.toml`: the devices, and what the console keeps and tells."""

from __future__ import annotations

import re

from edgeconsole.specs.vocabulary import Spec, check_id


class FleetDevice(Spec, frozen=True):
    """One `[[devices]]` entry of `fleet.toml`: how the console reaches a device."""

    id: str
    url: str
    token_file: str | None = None
    """The file with the device's token; `None`: where an agent on this machine keeps its own."""
    site: str = ""
    labels: dict[str, str] = {}

    def __post_init__(self) -> None:
        """Refuse names and addresses that cannot be used."""
        check_id("id", self.id)
        if not re.fullmatch(r"wss?://[^\s/]+/?", self.url):
            raise ValueError(f"url must look like ws://127.0.0.1:7311, got {self.url!r}")


class RetentionConfig(Spec, frozen=True):
    """`[retention]`: how long the console's history keeps what; the audit is kept for ever."""

    raw_hours: float = 48.0
    """Samples, one a second."""
    minute_days: float = 30.0
    """Rollups of minutes, of devices and of the fleet."""
    hour_days: float = 730.0
    """Rollups of hours."""
    event_days: float = 30.0
    """Events and transitions."""

    def __post_init__(self) -> None:
        """Refuse times in the wrong order: what is finer is kept for less long."""
        if not 1 <= self.raw_hours <= 24 * self.minute_days <= 24 * self.hour_days <= 24 * 36500:
            raise ValueError("raw_hours (from 1), minute_days and hour_days must not get shorter")
        if not 1 <= self.event_days <= 36500:
            raise ValueError(f"event_days must be 1 to 36500, got {self.event_days}")


class AlertConfig(Spec, frozen=True):
    """`[alerts]`: from when on a person is told, and how."""

    error_share: float = 0.05
    """Failed requests, of those of a minute."""
    degraded_share: float = 0.2
    """Answers from a lower rung, of those of a minute."""
    disk_free_share: float = 0.05
    """What must be free of a device's disk."""
    buffer_share: float = 0.8
    """How full a device's backlog may be; at 0.9 it begins to thin."""
    command: tuple[str, ...] = ()
    """A program that is given each incident as JSON on its standard input; empty: none."""
    webhook: str = ""
    """An address that each incident is posted to as JSON; empty: none."""
    timeout_s: float = 10.0
    """How long the program or the address may take."""

    def __post_init__(self) -> None:
        """Refuse shares out of range, and addresses that cannot be posted to."""
        for name in ("error_share", "degraded_share", "disk_free_share", "buffer_share"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} must be above 0 and at most 1, got {getattr(self, name)}")
        if self.webhook and not re.fullmatch(r"https?://[^\s/]+\S*", self.webhook):
            raise ValueError(f"webhook must begin with http:// or https://, got {self.webhook!r}")
        if not 0.1 <= self.timeout_s <= 300:
            raise ValueError(f"timeout_s must be 0.1 to 300, got {self.timeout_s}")


class FleetSpec(Spec, frozen=True):
    """A whole `fleet.toml`: a name, when a device counts as silent, and the devices."""

    name: str = "fleet"
    stale_after_s: float = 3.0
    """A device not heard for so long is shown as stale."""
    gone_after_s: float = 15.0
    """A device not heard for so long is shown as gone."""
    history: str | None = None
    """The history database, relative to the file; `None`: in the user's XDG data folder."""
    retention: RetentionConfig = RetentionConfig()
    alerts: AlertConfig = AlertConfig()
    warn_temp_c: float = 80.0
    """From here a temperature is a warning, where the device names no limit of its own."""
    max_temp_c: float = 90.0
    """From here a temperature is critical, where the device names no limit of its own."""
    devices: tuple[FleetDevice, ...] = ()

    def __post_init__(self) -> None:
        """Refuse repeated devices and limits in the wrong order."""
        names = [device.id for device in self.devices]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"devices: {twice[0]!r} is listed twice")
        if not 0 < self.stale_after_s < self.gone_after_s:
            raise ValueError("stale_after_s must be positive and below gone_after_s")
        if not 0 < self.warn_temp_c < self.max_temp_c <= 125:
            raise ValueError("warn_temp_c must be below max_temp_c, both within 0 to 125 °C")
