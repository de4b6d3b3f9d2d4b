"""A durable file is the old one or the new one, whatever happens in between."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from edgeconsole.durable import sync_folder, write_durably


@pytest.mark.parametrize("mode", [0o600, 0o644])
@pytest.mark.parametrize("before", [None, b"old and longer"])
def test_writes_whole_with_its_mode(tmp_path: Path, mode: int, before: bytes | None) -> None:
    """The file has exactly the new bytes and the asked mode, and nothing else is left over."""
    path = tmp_path / "state.json"
    if before is not None:
        path.write_bytes(before)
    write_durably(path, b"new", mode=mode)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failing", ["fsync", "rename"])
def test_a_failure_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """When the disk refuses, the old content stays and no temporary file remains."""
    path = tmp_path / "state.json"
    path.write_bytes(b"old")

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, failing, refuse)
    monkeypatch.setattr(Path, "rename", refuse if failing == "rename" else Path.rename)
    with pytest.raises(OSError, match="No space left"):
        write_durably(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_not_replaced(tmp_path: Path) -> None:
    """A folder in the file's place is an error, and stays."""
    path = tmp_path / "state.json"
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        write_durably(path, b"new")
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_parent_is_an_error(tmp_path: Path) -> None:
    """A folder that is not there is not made in silence."""
    with pytest.raises(FileNotFoundError):
        write_durably(tmp_path / "absent" / "state.json", b"new")
    with pytest.raises(FileNotFoundError):
        sync_folder(tmp_path / "absent")


WRITER = """
import pathlib, sys
from edgeconsole.durable import write_durably
path = pathlib.Path(sys.argv[1])
number = 0
while True:
    number += 1
    write_durably(path, str(number).encode().rjust(8) * 8192)
    print(number, flush=True)
"""


@pytest.mark.parametrize("after", [1, 2, 5, 9])
def test_kill_leaves_a_whole_file(tmp_path: Path, after: int) -> None:
    """A writer killed at any moment leaves one whole version, not older than what it confirmed."""
    path = tmp_path / "state"
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(after):
            confirmed = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
    data = path.read_bytes()
    assert data == data[:8] * 8192
    assert int(data[:8]) >= confirmed
