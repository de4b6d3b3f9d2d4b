"""The model store with the shipped bundles: whole bundles or none, whatever the disk does."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeconsole.bundle import Bundle
from edgeconsole.bundle.manifest import BundleFile
from edgeconsole.demo.data import bundle_path
from edgeconsole.errors import BundleError, StoreError
from edgeconsole.runtime.models.store import ActiveModel, ModelStore

ONE = "a" * 64
TWO = "b" * 64


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return where the store is."""
    return tmp_path / "models"


@pytest.fixture
def store(root: Path) -> ModelStore:
    """Return an empty store."""
    return ModelStore(root)


@pytest.fixture
def digits() -> Path:
    """Return a shipped bundle."""
    return bundle_path("digits")


def variant(tmp_path: Path, name: str) -> Path:
    """Return a copy of a bundle under another variant name, with the same files."""
    folder = tmp_path / "variants" / name
    shutil.copytree(bundle_path("digits"), folder)
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"fp32"', f'"{name}"', 1))
    return folder


def stored(bundle: Bundle) -> list[BundleFile]:
    """Return those of a bundle's files that a device keeps: it has no use for some."""
    kept = [file for file in bundle.manifest.files if (bundle.path / file.path).exists()]
    assert {"model.onnx", "golden.safetensors"} <= {file.path for file in kept}
    return kept


def check(bundle: Bundle) -> None:
    """Check that every file a device keeps has the content its manifest says."""
    for file in stored(bundle):
        data = (bundle.path / file.path).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file.size, file.sha256)


def contents(root: Path) -> set[str]:
    """Return the paths of all files in a store."""
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def test_a_bundle_is_taken_in_whole(store: ModelStore, root: Path, digits: Path) -> None:
    """What is in the store is what was in the folder, verified, under its digest."""
    bundle, new = store.add(digits)
    assert new
    assert bundle.path == root / "bundles" / bundle.digest
    assert bundle.digest == hashlib.sha256((digits / "manifest.json").read_bytes()).hexdigest()
    check(bundle)
    for file in stored(bundle):
        assert (bundle.path / file.path).read_bytes() == (digits / file.path).read_bytes()
    assert not list((root / "staging").iterdir())


def test_adding_again_changes_nothing(store: ModelStore, root: Path, digits: Path) -> None:
    """The second time the bundle is known, and not a file is written."""
    first, _ = store.add(digits)
    before = {name: (root / name).stat().st_mtime_ns for name in contents(root)}
    again, new = store.add(digits)
    assert not new
    assert again == first
    assert {name: (root / name).stat().st_mtime_ns for name in contents(root)} == before


def test_bundles_share_their_files(store: ModelStore, root: Path, tmp_path: Path) -> None:
    """A file that two bundles have is stored once, and stays when one of them goes."""
    first, _ = store.add(variant(tmp_path, "one"))
    second, _ = store.add(variant(tmp_path, "two"))
    assert first.digest != second.digest
    for file in stored(first):
        paths = (first.path / file.path, second.path / file.path, root / "objects" / file.sha256)
        assert len({path.stat().st_ino for path in paths}) == 1
    shutil.rmtree(first.path)
    check(second)
    assert store.bundles() == [second]


def test_stored_files_cannot_be_written(store: ModelStore, digits: Path) -> None:
    """A model's files are read-only in the store, for its owner too."""
    bundle, _ = store.add(digits)
    modes = {(bundle.path / file.path).stat().st_mode & 0o777 for file in stored(bundle)}
    assert modes == {0o400}


def test_leftovers_of_a_crash_are_removed(root: Path, digits: Path) -> None:
    """What was being taken in when the agent ended is gone at the next start, and can be added."""
    bundle, _ = ModelStore(root).add(digits)
    half = root / "staging" / bundle.digest
    half.mkdir()
    (half / "model.onnx").write_bytes(b"half")
    (root / "staging" / "0000.part").write_bytes(b"half")
    shutil.rmtree(bundle.path)
    store = ModelStore(root)
    assert not list((root / "staging").iterdir())
    assert store.bundles() == []
    again, new = store.add(digits)
    assert new
    check(again)


def flip(path: Path) -> None:
    """Change one bit of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a bit": (lambda path: flip(path / "model.onnx"), "not what the manifest says"),
    "a bit of the golden": (lambda path: flip(path / "golden.safetensors"), "not what the man"),
    "cut": (lambda path: os.truncate(path / "model.onnx", 10), "is 10 bytes"),
    "longer": (lambda path: os.truncate(path / "model.onnx", 10**7), "is 10000000 bytes"),
    "missing": (lambda path: (path / "model.onnx").unlink(), "is missing"),
    "no manifest": (lambda path: (path / "manifest.json").unlink(), "has no manifest.json"),
    "bad manifest": (lambda path: (path / "manifest.json").write_text("{}"), "manifest.json"),
    "no folder": (shutil.rmtree, "does not exist"),
}


def link_away(path: Path) -> None:
    """Put a link to another file in a model's place."""
    (path / "model.onnx").rename(path.parent / "elsewhere")
    (path / "model.onnx").symlink_to(path.parent / "elsewhere")


DAMAGE["a link"] = (link_away, "is a symbolic link")


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_bundles_are_refused(
    store: ModelStore, root: Path, tmp_path: Path, case: str
) -> None:
    """Nothing of a damaged bundle gets in, and a good one of the same name still does."""
    damage, message = DAMAGE[case]
    path = variant(tmp_path, "one")
    good = variant(tmp_path, "two")
    damage(path)
    with pytest.raises(BundleError, match=message):
        store.add(path)
    assert store.bundles() == []
    assert not list((root / "bundles").iterdir())
    bundle, _ = store.add(good)
    check(bundle)


CALLS = ("fsync", "link", "rename", "open", "mkdir")


@pytest.mark.parametrize("call", CALLS)
def test_any_failing_call_leaves_no_half_bundle(
    store: ModelStore, root: Path, digits: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """The 1st, 2nd, … call to the disk fails: a typed error, and never half a bundle.

    The loop ends when a run needs fewer calls than the one that is to fail.
    """
    real = {"os": getattr(os, call), "path": getattr(Path, call, None)}
    left = [0]

    def failing(which: str) -> Callable[..., object]:
        def fail(*arguments: object, **settings: object) -> object:
            left[0] -= 1
            if left[0] == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real[which](*arguments, **settings)

        return fail

    failures = 0
    while True:
        left[0] = failures + 1
        with monkeypatch.context() as patch:
            patch.setattr(os, call, failing("os"))
            if call in ("rename", "mkdir"):
                patch.setattr(Path, call, failing("path"))
            try:
                store.add(digits)
            except (StoreError, BundleError) as error:
                assert "No space left" in error.message  # noqa: PT017
            else:
                break
        failures += 1
        for bundle in store.bundles():
            check(bundle)
    assert failures > 0
    (bundle,) = ModelStore(root).bundles()
    check(bundle)


def test_bundles_of_many_threads(root: Path, store: ModelStore, tmp_path: Path) -> None:
    """Bundles that share files, added at the same moment and twice each, all arrive whole."""
    paths = [variant(tmp_path, name) for name in ("one", "two", "three")] * 2
    start = threading.Barrier(len(paths))
    added: list[tuple[Bundle, bool]] = []
    errors: list[Exception] = []

    def add(path: Path) -> None:
        start.wait()
        try:
            added.append(store.add(path))
        except Exception as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=add, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sum(new for _, new in added) == 3
    found = store.bundles()
    assert {bundle.manifest.variant for bundle in found} == {"one", "two", "three"}
    for bundle in found:
        check(bundle)
    objects = {path.name for path in (root / "objects").iterdir()}
    assert objects == {file.sha256 for bundle in found for file in stored(bundle)}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (("digits",), "two"),
        (("digits", "1"), "two"),
        (("digits", "", "one"), "one"),
        (("digits", "1", "one"), "one"),
        (("digits", "2"), None),
        (("digits", "1", "three"), None),
        (("digit",), None),
    ],
)
def test_find_is_exact_or_the_newest(
    store: ModelStore, tmp_path: Path, asked: tuple[str, ...], expected: str | None
) -> None:
    """What is named must match; what is not named is the bundle that came last."""
    for seconds, name in enumerate(("one", "two")):
        bundle, _ = store.add(variant(tmp_path, name))
        os.utime(bundle.path, (seconds, seconds))
    found = store.find(*asked)
    assert (found.manifest.variant if found else None) == expected


def test_damaged_bundles_in_the_store_are_left_out(
    store: ModelStore, root: Path, tmp_path: Path
) -> None:
    """A bundle that cannot be opened any more hides itself, not the others."""
    bad, _ = store.add(variant(tmp_path, "one"))
    good, _ = store.add(variant(tmp_path, "two"))
    (bad.path / "manifest.json").write_text("{}")
    (root / "bundles" / "file").write_text("no folder")
    assert store.bundles() == [good]
    assert store.get(bad.digest) is None
    assert store.get(good.digest) == good
    assert store.get("absent") is None


def test_active_is_recorded_durably(store: ModelStore, root: Path) -> None:
    """Which bundle answers, and which did before, is there after a restart."""
    assert store.active() == {}
    store.set_active("digits", ONE)
    store.set_active("digits", TWO)
    store.set_active("other", ONE)
    expected = {"digits": ActiveModel(TWO, ONE), "other": ActiveModel(ONE)}
    assert ModelStore(root).active() == expected
    assert (root / "active.json").stat().st_mode & 0o777 == 0o600


def test_setting_the_same_again_keeps_the_one_before(store: ModelStore) -> None:
    """Activating what is active does not make it its own predecessor."""
    for digest in (ONE, TWO, TWO):
        store.set_active("digits", digest)
    assert store.active() == {"digits": ActiveModel(TWO, ONE)}


def test_a_failing_disk_keeps_the_record(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the new record cannot be written, the old one stands."""
    store.set_active("digits", ONE)

    def refuse(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(StoreError, match="cannot be written"):
            store.set_active("digits", TWO)
    assert store.active() == {"digits": ActiveModel(ONE)}


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"digits": 3}', b'{"digits": {}}', b'{"digits":{"active":"\xff"}}'],
)
def test_a_damaged_record_is_an_error(store: ModelStore, root: Path, content: bytes) -> None:
    """A record that cannot be read is not taken for an empty one, nor overwritten."""
    (root / "active.json").write_bytes(content)
    with pytest.raises(StoreError, match="cannot be read") as caught:
        store.active()
    assert "remove it" in caught.value.hint
    with pytest.raises(StoreError, match="cannot be read"):
        store.set_active("digits", ONE)
    assert (root / "active.json").read_bytes() == content


def test_a_place_that_cannot_hold_a_store_is_an_error(tmp_path: Path) -> None:
    """A file in the folder's place is refused with the path."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot keep models here") as caught:
        ModelStore(tmp_path / "file" / "models")
    assert str(tmp_path / "file") in caught.value.message


def objects(root: Path) -> set[str]:
    """Return the names of all objects."""
    return {path.name for path in (root / "objects").iterdir()}


def test_a_removed_bundle_takes_only_what_no_other_names(
    store: ModelStore, root: Path, tmp_path: Path, digits: Path
) -> None:
    """Shared files stay with the bundle that is left; with the last one all objects go."""
    one, _ = store.add(digits)
    two, _ = store.add(variant(tmp_path, "two"))
    before = objects(root)
    assert store.remove(two.digest) == 0
    assert store.get(two.digest) is None
    assert objects(root) == before
    check(one)
    size = sum(path.stat().st_size for path in (root / "objects").iterdir())
    assert store.remove(one.digest) == size
    assert contents(root) == set()
    assert store.add(digits)[1]


def test_what_is_not_there_cannot_be_removed(store: ModelStore, digits: Path) -> None:
    """It is said, and nothing else is touched."""
    bundle, _ = store.add(digits)
    with pytest.raises(StoreError, match="cannot be removed: No such file"):
        store.remove(ONE)
    check(bundle)


def test_a_bundle_that_arrives_keeps_what_it_counts_on(
    store: ModelStore, tmp_path: Path, digits: Path
) -> None:
    """It was not sent what was here when it was offered; removing that meanwhile leaves it."""
    bundle, _ = store.add(digits)
    intake = store.intake((variant(tmp_path, "two") / "manifest.json").read_bytes())
    assert intake.wanted() == ()
    store.remove(bundle.digest)
    check(intake.commit())
    intake.abandon()


def test_a_crash_while_removing_leaves_no_half(
    store: ModelStore, root: Path, digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it has left its place it is gone; what is left of it goes with the next start or removal."""
    bundle, _ = store.add(digits)

    def crash(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", crash)
        with pytest.raises(StoreError, match="Input/output error"):
            store.remove(bundle.digest)
    assert store.get(bundle.digest) is None
    again = ModelStore(root)
    other, _ = again.add(bundle_path("digits-tiny"))
    again.remove(other.digest)
    assert contents(root) == set()
