"""Finding the devices a verb names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgeconsole.errors import ConfigError
from edgeconsole.fleet.inventory import Inventory, find_fleet_file, load_inventory
from edgeconsole.specs import FleetDevice


def find_device(fleet: Path | None, device_id: str) -> tuple[FleetDevice, str]:
    """Return a device of the fleet file and its token; raises `ConfigError` or `AuthError`."""
    inventory, device = find_in_fleet(fleet, device_id)
    return device, inventory.token(device)


def find_in_fleet(fleet: Path | None, device_id: str) -> tuple[Inventory, FleetDevice]:
    """Return a device and the fleet it is in; raises `ConfigError`."""
    inventory = load_inventory(find_fleet_file(fleet))
    (device,) = known_devices(inventory, [device_id])
    return inventory, device


def known_devices(inventory: Inventory, names: Sequence[str]) -> list[FleetDevice]:
    """Return the devices of these names, each once; raises `ConfigError` for a stranger."""
    by_id = {device.id: device for device in inventory.spec.devices}
    for name in names:
        if name not in by_id:
            raise ConfigError(
                f"{name!r} is not a device of {inventory.file}",
                hint=f"devices: {', '.join(by_id)}",
            )
    return [by_id[name] for name in dict.fromkeys(names)]
