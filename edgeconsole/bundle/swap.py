"""Putting a finished folder in the place of another, so that a crash never leaves half of one."""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
import shutil
from pathlib import Path
from typing import Final

from edgeconsole.durable import sync_folder

_AT_FDCWD: Final = -100
_RENAME_EXCHANGE: Final = 2
_UNSUPPORTED: Final = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM})


def sibling(path: Path, what: str) -> Path:
    """Return an unused hidden name beside `path`."""
    return path.with_name(f".{path.name}.{what}-{secrets.token_hex(4)}")


def put_in_place(new: Path, target: Path) -> None:
    """Give folder `new` the name `target`, deleting the folder that had it; raises `OSError`.

    One step where the kernel can exchange two names (Linux). Elsewhere two renames: a crash
    between them leaves the old folder, whole, under a hidden name beside `target`.
    """
    if not target.exists() or not any(target.iterdir()):
        new.rename(target)
    elif _exchange(new, target):
        shutil.rmtree(new)
    else:
        old = sibling(target, "old")
        target.rename(old)
        try:
            new.rename(target)
        except OSError:
            old.rename(target)
            raise
        shutil.rmtree(old)
    sync_folder(target.parent)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two names in one step; `False` if this system cannot."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    names = os.fsencode(one), os.fsencode(other)
    if renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _UNSUPPORTED:
        return False
    raise OSError(code, os.strerror(code), str(other))
