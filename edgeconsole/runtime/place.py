"""An agent's place on the machine: one agent a state folder, and where it can be reached."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from edgeconsole.durable import write_durably
from edgeconsole.errors import ConfigError, StoreError
from edgeconsole.protocol.endpoint import ENDPOINT_FILE, Endpoint


@contextlib.contextmanager
def lock_state(state_dir: Path) -> Iterator[None]:
    """Hold a state folder for this process; the kernel lets go of it when the process ends.

    Raises:
        ConfigError: another agent holds it.
        StoreError: the folder cannot be used.
    """
    try:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(state_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"{state_dir}: cannot be used: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                f"{state_dir}: another agent runs with this state folder",
                hint="stop it, or choose another state_dir",
            ) from error
        yield
    finally:
        os.close(descriptor)


def write_endpoint(state_dir: Path, host: str, port: int) -> None:
    """Tell programs on this machine where the agent listens (its port may have been 0)."""
    endpoint = Endpoint(url=f"ws://{host}:{port}", pid=os.getpid())
    try:
        write_durably(state_dir / ENDPOINT_FILE, msgspec.json.encode(endpoint), mode=0o600)
    except OSError as error:
        raise StoreError(f"{state_dir}: cannot be written: {error.strerror}") from error
