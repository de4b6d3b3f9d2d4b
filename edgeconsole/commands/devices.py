"""Finding the device a verb names."""

from __future__ import annotations

from pathlib import Path

from edgeconsole.errors import ConfigError
from edgeconsole.fleet.inventory import find_fleet_file, load_inventory
from edgeconsole.specs import FleetDevice


def find_device(fleet: Path | None, device_id: str) -> tuple[FleetDevice, str]:
    """Return a device of the fleet file and its token; raises `ConfigError` or `AuthError`."""
    inventory = load_inventory(find_fleet_file(fleet))
    for device in inventory.spec.devices:
        if device.id == device_id:
            return device, inventory.token(device)
    raise ConfigError(
        f"{device_id!r} is not a device of {inventory.file}",
        hint=f"devices: {', '.join(each.id for each in inventory.spec.devices)}",
    )
