"""Where things live by default: XDG folders, so that an agent and a console on one machine agree."""

from __future__ import annotations

from pathlib import Path

import platformdirs

from edgeconsole.errors import ConfigError

APP = "edgeconsole"


def agent_state_dir(agent_id: str) -> Path:
    """Return an agent's default state folder (`$XDG_STATE_HOME/edgeconsole/agents/ID`)."""
    return platformdirs.user_state_path(APP) / "agents" / agent_id


def agent_token_path(agent_id: str) -> Path:
    """Return where an agent with the default state folder keeps its token."""
    return agent_state_dir(agent_id) / "token"


def history_path() -> Path:
    """Return the console's default history database (`$XDG_DATA_HOME/edgeconsole/history.db`)."""
    return platformdirs.user_data_path(APP) / "history.db"


def fleet_path() -> Path:
    """Return the user's own fleet file (`$XDG_CONFIG_HOME/edgeconsole/fleet.toml`)."""
    return platformdirs.user_config_path(APP) / "fleet.toml"


def resolve_beside(file: Path, path: str) -> Path:
    """Return a path from a configuration file: `~` is the home, relative is beside the file.

    Raises `ConfigError` for the home of a user who does not exist.
    """
    try:
        return (file.parent / Path(path).expanduser()).absolute()
    except RuntimeError as error:
        raise ConfigError(f"{file}: {path!r} is in a home folder that is not there") from error
