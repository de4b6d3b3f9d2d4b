"""Reading and hashing a bundle's files without trusting the folder they lie in."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import BinaryIO, Final

from edgeconsole.bundle.manifest import BundleFile
from edgeconsole.errors import BundleError

COPY_AGAIN: Final = "copy the bundle again, or pack the model again"
_CHUNK: Final = 1 << 20
# O_NONBLOCK: opening a planted FIFO must not hang.
_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def names_in(folder: Path) -> set[str]:
    """Return the names of a folder's entries; raises `BundleError` if it cannot be listed."""
    try:
        return {entry.name for entry in folder.iterdir()}
    except FileNotFoundError:
        what = "does not exist"
    except NotADirectoryError:
        what = "is not a folder"
    except OSError as error:
        what = f"cannot be read: {error.strerror}"
    raise BundleError(f"{folder}: {what}", hint="a bundle is a folder with manifest.json")


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading; raises `BundleError` for links, folders and devices."""
    if path.is_symlink():
        raise BundleError(f"{path}: is a symbolic link", hint="a bundle holds plain files only")
    try:
        descriptor = os.open(path, _FLAGS)
    except FileNotFoundError:
        raise BundleError(f"{path}: is missing", hint=COPY_AGAIN) from None
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise BundleError(f"{path}: is not a plain file", hint="a bundle holds plain files only")
    return os.fdopen(descriptor, "rb")


def read_capped(path: Path, limit: int) -> bytes:
    """Read a regular file of at most `limit` bytes; raises `BundleError` for a larger one."""
    with open_regular(path) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise BundleError(f"{path}: is larger than {limit} bytes", hint=COPY_AGAIN)
    return data


def check_size(folder: Path, entry: BundleFile) -> None:
    """Check that a listed file is there with its size; raises `BundleError`."""
    with open_regular(folder / entry.path) as file:
        size = os.fstat(file.fileno()).st_size
    if size != entry.size:
        raise BundleError(
            f"{folder / entry.path}: is {size} bytes, the manifest says {entry.size}",
            hint=COPY_AGAIN,
        )


def check_hash(folder: Path, entry: BundleFile) -> None:
    """Hash a listed file in a stream, never past its size; raises `BundleError`."""
    digest, left = hashlib.sha256(), entry.size
    with open_regular(folder / entry.path) as file:
        while left and (chunk := file.read(min(left, _CHUNK))):
            digest.update(chunk)
            left -= len(chunk)
        longer = bool(file.read(1))
    if left or longer:
        check_size(folder, entry)  # says both sizes
    _compare(folder / entry.path, entry, digest.hexdigest())


def read_listed(folder: Path, entry: BundleFile) -> bytes:
    """Read a listed file whole and check its size and hash; raises `BundleError`."""
    data = read_capped(folder / entry.path, entry.size)
    if len(data) != entry.size:
        check_size(folder, entry)
    _compare(folder / entry.path, entry, hashlib.sha256(data).hexdigest())
    return data


def _compare(path: Path, entry: BundleFile, got: str) -> None:
    if got != entry.sha256:
        raise BundleError(
            f"{path}: SHA-256 is {got}, the manifest says {entry.sha256}", hint=COPY_AGAIN
        )
