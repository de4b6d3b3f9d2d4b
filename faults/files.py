"""Faults of files and disks: damaged models, full and read-only stores, fsync that fails, a locked history."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from edgeconsole.bundle import Bundle
from edgeconsole.bundle.manifest import MANIFEST_NAME, MODEL_ONNX
from edgeconsole.errors import EdgeConsoleError, RequestError
from edgeconsole.fleet.deploy import send_bundle
from edgeconsole.fleet.inventory import load_inventory
from edgeconsole.fleet.service import FleetService
from edgeconsole.protocol.control import Done, Force
from edgeconsole.protocol.failsafe import OverrideKind
from edgeconsole.protocol.inference import Rung
from faults.fault import Fault, Inject, Scene
from faults.models import MODEL, STANDBY
from faults.plant import own_mounts, wait_for

Damage = Callable[[Path], None]


def truncated(file: Path) -> None:
    """Cut a file in half."""
    os.truncate(file, file.stat().st_size // 2)


def flipped(file: Path) -> None:
    """Flip one bit in the middle of a file."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def stored_models(scene: Scene, model: str) -> list[Path]:
    """Return the graph files of a model in the agent's store."""
    return [
        manifest.parent / MODEL_ONNX
        for manifest in (scene.plant.state / "models" / "bundles").glob(f"*/{MANIFEST_NAME}")
        if json.loads(manifest.read_bytes())["model"] == model
    ]


def damaged(damage: Damage, *models: str) -> Inject:
    """Damage the stored files of models and kill their workers, so that these need them again."""

    @contextlib.asynccontextmanager
    async def inject(scene: Scene) -> AsyncIterator[None]:
        kept: list[tuple[Path, Path]] = []
        for model in models:
            files = stored_models(scene, model)
            scene.check(f"{model} has no file in the store", holds=bool(files))
            for file in files:
                whole = scene.plant.home / f"whole-{uuid.uuid4().hex}"
                shutil.copy2(file, whole)
                kept.append((file, whole))
                file.chmod(0o600)
                damage(file)
        scene.begins()
        await scene.plant.signal_workers(signal.SIGKILL, *models)
        yield
        for file, whole in kept:
            shutil.copy2(whole, file)

    return inject


async def use_the_store(scene: Scene, *, works: bool) -> None:
    """Do what needs the store: it works, or is refused with a reason, and what is forced holds."""
    plant = scene.plant
    folder = plant.home / f"other-{uuid.uuid4().hex[:8]}"
    shutil.copytree(plant.home / "standby", folder)
    manifest = folder / MANIFEST_NAME
    content = json.loads(manifest.read_bytes())
    content["version"] = uuid.uuid4().hex[:8]
    manifest.chmod(0o600)
    manifest.write_text(json.dumps(content), encoding="utf-8")
    said = "stored"
    try:
        await send_bundle(plant.url, plant.token, Bundle.open(folder))
    except RequestError as error:
        said = f"refused with {error.code}"
        scene.check(f"a bundle was refused: {error}", holds=not works)
    except EdgeConsoleError as error:
        said = str(error)
        scene.wrong.append(f"the transfer ended without a typed refusal: {error}")
    else:
        scene.check("a bundle was taken in by a store that cannot keep it", holds=works)
    if works:
        return
    command = Force(
        id=plant.link.next_id(),
        kind=OverrideKind.FALLBACK,
        model=MODEL,
        actor="faults",
        reason="the store is bad",
        for_s=1.0,
        command_id=uuid.uuid4().hex,
    )
    reply = await plant.link.ask(command)
    scene.check("an order was not taken", holds=isinstance(reply, Done))
    route = await plant.route()
    scene.check("what was forced did not take effect", holds=route.rung is Rung.FALLBACK)
    scene.notes.append(f"a deploy is {said}; an order holds")


@contextlib.asynccontextmanager
async def full(scene: Scene) -> AsyncIterator[None]:
    """Fill the store's file system, and kill a worker into the bargain."""
    filler = scene.plant.state / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    scene.begins()
    await use_the_store(scene, works=False)
    await scene.plant.signal_workers(signal.SIGKILL, MODEL)
    yield
    filler.unlink()
    await use_the_store(scene, works=True)


@contextlib.asynccontextmanager
async def read_only(scene: Scene) -> AsyncIterator[None]:
    """Lay a read-only view of the store over it: what is open for writing forbids to change it in place."""
    state = str(scene.plant.home / "state")

    def mount(script: str) -> None:
        enter = ["nsenter", "--target", str(scene.plant.pid), "--mount"]
        if os.geteuid() != 0:
            enter += ["--user", "--preserve-credentials"]
        subprocess.run(  # noqa: S603 - a fixed command
            [*enter, "sh", "-c", script, "sh", state], check=True, capture_output=True
        )

    mount('mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"')
    scene.begins()
    await use_the_store(scene, works=False)
    yield
    mount('umount "$1"')
    await use_the_store(scene, works=True)


@contextlib.asynccontextmanager
async def sync_fails(scene: Scene) -> AsyncIterator[None]:
    """Have every fsync of the agent fail with EIO."""
    assert scene.shim is not None
    scene.shim.command(sync_fails=True)
    scene.begins()
    try:
        await use_the_store(scene, works=False)
        yield
    finally:
        scene.shim.command()
    await use_the_store(scene, works=True)


@contextlib.asynccontextmanager
async def history_locked(scene: Scene) -> AsyncIterator[None]:
    """Lock the console's history while the device falls; then everything must be in it."""
    home = scene.plant.home
    token = home / "state" / "token"
    (home / "fleet.toml").write_text(
        'name = "faults"\nhistory = "history.db"\n'
        f'[[devices]]\nid = "device"\nurl = "{scene.plant.url}"\ntoken_file = "{token}"\n',
        encoding="utf-8",
    )
    async with FleetService(load_inventory(home / "fleet.toml")) as fleet:

        def is_seen() -> bool:
            view = fleet.store.device("device")
            return view is not None and view.sample is not None

        await wait_for(is_seen, "the device", 10)
        await wait_for((home / "history.db").exists, "the history", 10)
        lock = sqlite3.connect(home / "history.db", isolation_level=None, timeout=10.0)
        lock.execute("BEGIN EXCLUSIVE")
        scene.begins()
        await scene.plant.signal_workers(signal.SIGSTOP, MODEL)
        yield
        lock.rollback()
        lock.close()
        await asyncio.sleep(3.0)
    with contextlib.closing(sqlite3.connect(home / "history.db")) as database:
        kinds = [kind for (kind,) in database.execute("SELECT kind FROM event")]
    scene.check(
        "the history lacks what happened while it was locked", holds="rung_changed" in kinds
    )
    scene.notes.append("the fall is in the history")


def no_mounts() -> str:
    """Return why a file system of the agent's own cannot be had; empty if it can."""
    if not all(shutil.which(tool) for tool in ("unshare", "nsenter", "mount", "sh")):
        return "needs unshare, nsenter and mount"
    script = "mount -t tmpfs -o size=1m store /tmp"
    done = subprocess.run(  # noqa: S603 - a fixed command, in mounts of its own
        [*own_mounts(), "sh", "-c", script], capture_output=True, text=True, check=False
    )
    return f"no mounts of its own: {done.stderr.strip()}" if done.returncode else ""


FAULTS = (
    Fault("model file truncated, worker killed", damaged(truncated, MODEL), 2.0, Rung.FALLBACK),
    Fault("model file bit-flipped, worker killed", damaged(flipped, MODEL), 2.0, Rung.FALLBACK),
    Fault("model file deleted, worker killed", damaged(Path.unlink, MODEL), 2.0, Rung.FALLBACK),
    Fault(
        "all workers dead and unable to start",
        damaged(flipped, MODEL, STANDBY),
        2.0,
        Rung.STATIC,
    ),
    Fault("disk full", full, 2.0, Rung.FALLBACK, falls=False, small_store=True, missing=no_mounts),
    Fault(
        "store read-only",
        read_only,
        2.0,
        Rung.FALLBACK,
        falls=False,
        small_store=True,
        missing=no_mounts,
    ),
    Fault("EIO on fsync", sync_fails, 2.0, Rung.FALLBACK, falls=False, shimmed=True),
    Fault("history locked, worker stopped", history_locked, 3.0, Rung.FALLBACK),
)
