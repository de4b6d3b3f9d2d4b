"""`fleet.toml`: which devices there are, and the tokens that open them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgeconsole import paths
from edgeconsole.errors import ConfigError
from edgeconsole.specs import FleetDevice, FleetSpec
from edgeconsole.toml_file import load_toml
from edgeconsole.transport import read_token

LOCAL_NAME: Final = "fleet.toml"


@dataclass(frozen=True, slots=True)
class Inventory:
    """A fleet and where its files are."""

    spec: FleetSpec
    file: Path
    history_path: Path

    def token_path(self, device: FleetDevice) -> Path:
        """Return the file that holds a device's token."""
        if device.token_file is None:
            return paths.agent_token_path(device.id)
        return paths.resolve_beside(self.file, device.token_file)

    def token(self, device: FleetDevice) -> str:
        """Return a device's token, read anew each time; raises `AuthError`."""
        return read_token(self.token_path(device))


def load_inventory(file: Path) -> Inventory:
    """Read a fleet file; raises `ConfigError`."""
    spec = load_toml(file, FleetSpec)
    history = (
        paths.history_path() if spec.history is None else paths.resolve_beside(file, spec.history)
    )
    return Inventory(spec=spec, file=file, history_path=history)


def find_fleet_file(given: Path | None) -> Path:
    """Return the fleet file to use: as given, else `EDGECONSOLE_FLEET`, `./fleet.toml`, the user's.

    Raises `ConfigError` if there is none.
    """
    if given is not None:
        return given
    environment = os.environ.get("EDGECONSOLE_FLEET")
    if environment:
        return Path(environment)
    for candidate in (Path(LOCAL_NAME), paths.fleet_path()):
        if candidate.is_file():
            return candidate
    raise ConfigError(
        f"no fleet file: neither ./{LOCAL_NAME} nor {paths.fleet_path()} is there",
        hint="write one (see the README), give --fleet FILE, or try 'edgeconsole demo'",
    )
