"""One agent a state folder, and the file that says where it listens."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from edgeconsole.errors import ConfigError, StoreError
from edgeconsole.protocol.endpoint import ENDPOINT_FILE, Endpoint
from edgeconsole.runtime.place import lock_state, write_endpoint


def lock_once(path: Path) -> None:
    """Take the lock and let it go."""
    with lock_state(path):
        pass


def test_a_second_lock_is_refused(tmp_path: Path) -> None:
    """While one agent holds a folder no other gets it; afterwards it is free."""
    with lock_state(tmp_path / "state"):
        with pytest.raises(
            ConfigError, match="another agent runs with this state folder"
        ) as caught:
            lock_once(tmp_path / "state")
        assert "choose another state_dir" in caught.value.hint
        lock_once(tmp_path / "other")
    lock_once(tmp_path / "state")


def test_the_folder_is_made_for_its_owner(tmp_path: Path) -> None:
    """A state folder that is not there is made, closed to others."""
    with lock_state(tmp_path / "a" / "state"):
        assert stat.S_IMODE((tmp_path / "a" / "state").stat().st_mode) == 0o700


def test_a_failure_inside_lets_go(tmp_path: Path) -> None:
    """An agent that fails does not lock its folder for the next."""

    def fail() -> None:
        with lock_state(tmp_path):
            raise StoreError("of the test")

    with pytest.raises(StoreError, match="of the test"):
        fail()
    lock_once(tmp_path)


HOLDER = """
import pathlib, signal, sys
from edgeconsole.runtime.place import lock_state
with lock_state(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    signal.pause()
"""


def test_the_lock_goes_with_its_process(tmp_path: Path) -> None:
    """Another process is kept out, and `kill -9` leaves nothing to clean up."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(ConfigError):
            lock_once(tmp_path)
        holder.send_signal(signal.SIGKILL)
    lock_once(tmp_path)


def file_in_its_place(path: Path) -> None:
    """Put a file where the folder should be."""
    path.write_text("")


def folder_for_the_lock(path: Path) -> None:
    """Put a folder where the lock file should be."""
    (path / "lock").mkdir(parents=True)


@pytest.mark.parametrize("prepare", [file_in_its_place, folder_for_the_lock])
def test_a_folder_that_cannot_be_used(tmp_path: Path, prepare: Callable[[Path], None]) -> None:
    """The error says which folder, and why."""
    path = tmp_path / "state"
    prepare(path)
    with pytest.raises(StoreError, match="cannot be used") as caught:
        lock_once(path)
    assert str(path) in caught.value.message


def test_the_endpoint_can_be_read_back(tmp_path: Path) -> None:
    """Programs of the same user find the address and the process."""
    for port in (1, 7311):
        write_endpoint(tmp_path, "127.0.0.1", port)
        path = tmp_path / ENDPOINT_FILE
        found = msgspec.json.decode(path.read_bytes(), type=Endpoint)
        assert found == Endpoint(url=f"ws://127.0.0.1:{port}", pid=os.getpid())
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_endpoint_that_cannot_be_written(tmp_path: Path) -> None:
    """A folder that is gone is an error with its name."""
    with pytest.raises(StoreError, match="cannot be written"):
        write_endpoint(tmp_path / "absent", "127.0.0.1", 1)
