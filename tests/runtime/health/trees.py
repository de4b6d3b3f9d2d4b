r"""Trees like the kernel's, written compactly: `tests/fixtures/sysfs/<case>/tree.txt`, one file a line.

sys/class/hwmon/hwmon0/name = coretemp         a file with this line; \xff and \n are escapes
sys/class/hwmon/hwmon1 -> ../../devices/x      a link
sys/class/thermal/thermal_zone0/temp | fifo    a pipe nobody writes to
sys/class/thermal/thermal_zone0/temp | folder  an empty folder
sys/class/powercap/x/energy_uj ! EACCES        a file whose reading fails so
"""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest

from edgeconsole.runtime.health.sensors import files

_LINE = re.compile(r"(?P<path>\S+) (?P<how>=|->|\||!)(?: (?P<what>.*))?")
_ESCAPE = re.compile(r"\\x([0-9a-f]{2})|\\n")


def unpack(text: str, root: Path) -> dict[str, int]:
    """Write a tree; returns the paths whose reading is to fail, with the error's number."""
    failing = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        assert match, f"line {number}: {line!r}"
        path, what = root / match["path"], match["what"] or ""
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            path.unlink()
        match match["how"], what:
            case "->", _:
                path.symlink_to(what)
            case "|", "fifo":
                os.mkfifo(path)
            case "|", "folder":
                path.mkdir()
            case "!", _:
                path.write_bytes(b"")
                failing[str(path)] = getattr(errno, what)
            case "=", _:
                path.write_bytes(_bytes(what) + b"\n")
            case other:
                raise AssertionError(f"line {number}: {other}")
    return failing


def _bytes(text: str) -> bytes:
    pieces, end = [], 0
    for match in _ESCAPE.finditer(text):
        pieces.append(text[end : match.start()].encode())
        pieces.append(bytes([int(match[1], 16)]) if match[1] else b"\n")
        end = match.end()
    return b"".join((*pieces, text[end:].encode()))


def fail_reads(patch: pytest.MonkeyPatch, failing: dict[str, int]) -> None:
    """Have reads of these paths fail, as they do for users who are not root."""
    read = files._read

    def refusing(path: str, limit: int) -> bytes:
        if path in failing:
            raise OSError(failing[path], os.strerror(failing[path]))
        return read(path, limit)

    patch.setattr(files, "_read", refusing)
