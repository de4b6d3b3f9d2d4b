"""Orders about models and jobs on a real agent: once, audited, refused when stale; removal."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from pathlib import Path

import pytest

from edgeconsole.cli import main
from edgeconsole.demo.data import bundle_path
from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.fleet import models
from edgeconsole.fleet.inventory import load_inventory
from edgeconsole.fleet.orders import Intent, Outcome
from edgeconsole.fleet.service import FleetService
from edgeconsole.fleet.tasks import ActivateTask
from edgeconsole.protocol.control import (
    ActivateModel,
    CancelJob,
    CheckModel,
    Force,
    LoadModel,
    Optimize,
    RemoveModel,
    RollBackModel,
    UnloadModel,
)
from edgeconsole.protocol.failsafe import OverrideKind
from edgeconsole.protocol.jobs import JobState

sys.path.insert(0, str(Path(__file__).parent))
from job_device import Device

ID = "c" * 32
DEFAULTS = "--level full_optimization --objective p99 --max-drop 1"


@pytest.fixture
async def device(agents):
    """Return a device that serves digits and is in a fleet file."""
    async with Device(agents, agents.write()) as found:
        found.write_fleet()
        yield found


@pytest.fixture
def run(device, capsys):
    """Return a function that runs a verb and returns its exit code and its JSON."""

    async def verb(*arguments):
        fleet = str(device.home / "fleet.toml")
        code = await asyncio.to_thread(main, [*arguments, "--json", "--fleet", fleet])
        return code, json.loads(capsys.readouterr().out or "null")

    return verb


async def active(device) -> dict[str, str]:
    """Return which variant answers to each model's name."""
    return {each.model: each.variant for each in await models.stored(device.link) if each.active}


def contents(store: Path) -> set[str]:
    """Return the paths of all files in a store."""
    return {str(path.relative_to(store)) for path in store.rglob("*") if path.is_file()}


async def optimized(device) -> None:
    """Let a job put its variants in the store."""
    await device.until(await device.order(), JobState.DONE)


async def named(device, key: str):
    """Return a stored bundle by its key."""
    return next(each for each in await models.stored(device.link) if each.key == key)


async def test_each_verb_leaves_its_trail(device, run):
    """Queued, sent, acknowledged, with the line one would type; a refusal with the device's words."""
    code, _ = await run("optimize", "digits", "--on", "dev-1", "--activate", "--budget", "1m")
    assert code == 0
    assert (await active(device))["digits"] == "int8-minmax"
    assert (await run("rollback", "dev-1", "digits"))[0] == 0
    assert (await active(device))["digits"] == "fp32"
    assert (await run("activate", "dev-1", "digits/1/int8-minmax"))[0] == 0
    assert (await run("jobs", "cancel", "dev-1", "nope"))[0] == 2
    assert (await run("activate", "dev-1", "cats"))[0] == 2
    _, audit = await run("audit")
    final = [row for row in audit["rows"] if row["outcome"] not in ("queued", "sent")]
    assert [(row["line"], row["outcome"]) for row in reversed(final)] == [
        (f"optimize digits --on dev-1 {DEFAULTS} --budget 1m", "acknowledged"),
        ("activate dev-1 digits/1/int8-minmax", "acknowledged"),
        ("rollback dev-1 digits", "acknowledged"),
        ("activate dev-1 digits/1/int8-minmax", "acknowledged"),
        ("jobs cancel dev-1 nope", "refused"),
        ("activate dev-1 cats", "refused"),
    ]
    assert all("@" in row["actor"] for row in audit["rows"])
    assert len(audit["rows"]) == 3 * len(final)


async def test_a_command_that_comes_twice_is_carried_out_once(device):
    """Of each kind; a roll-back that is sent again does not roll forward, also after a restart."""
    link = device.link
    first = await link.ask(Optimize("a", "kim", "digits", command_id=ID))
    again = await link.ask(Optimize("b", "kim", "digits", command_id=ID))
    assert again.job_id == first.job_id
    await device.until(first.job_id, JobState.DONE)
    assert len(await device.jobs()) == 1
    best = await named(device, "digits/1/int8-minmax")
    await link.ask(ActivateModel("c", "digits", digest=best.digest))
    for number in range(2):
        command = RollBackModel(str(number), "digits", best.digest, "d" * 32)
        assert "fp32 is active" in (await link.ask(command)).message
    assert (await active(device))["digits"] == "fp32"
    assert await asyncio.to_thread(device.agent.stop) == 0
    await device.restart()
    await device.link.ask(RollBackModel("r", "digits", best.digest, "d" * 32))
    assert (await active(device))["digits"] == "fp32"
    again = await device.link.ask(Optimize("o", "kim", "digits", command_id=ID))
    assert (again.job_id, len(await device.jobs())) == (first.job_id, 1)


async def test_loading_unloading_and_storing_leave_their_trail(device, run):
    """Each is an order: in the audit with its outcome, a refusal as well; what answers stays."""
    await optimized(device)
    other = device.home / "other"
    shutil.copytree(bundle_path("digits"), other)
    manifest = other / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"fp32"', '"other"', 1))
    assert (await run("load", "dev-1", "digits/1/int8-minmax"))[0] == 0
    assert (await named(device, "digits/1/int8-minmax")).loaded
    assert (await run("unload", "dev-1", "digits/1/int8-minmax"))[0] == 0
    assert (await run("unload", "dev-1", "digits/1/int8-minmax"))[0] == 2
    assert (await run("load", "dev-1", "cats"))[0] == 2
    _, planned = await run("deploy", "dev-1", str(other), "--no-activate", "--plan")
    assert planned["outcome"] == "would be sent"
    code, said = await run("deploy", "dev-1", str(other), "--no-activate")
    assert (code, said["outcome"]) == (0, "is stored")
    stored = await named(device, "digits/1/other")
    assert (stored.digest, stored.loaded) == (said["digest"], False)
    assert (await active(device))["digits"] == "fp32"
    _, audit = await run("audit")
    final = [row for row in audit["rows"] if row["outcome"] not in ("queued", "sent")]
    assert [(row["line"], row["outcome"]) for row in reversed(final)] == [
        ("load dev-1 digits/1/int8-minmax", "acknowledged"),
        ("unload dev-1 digits/1/int8-minmax", "acknowledged"),
        ("unload dev-1 digits/1/int8-minmax", "refused"),
        ("load dev-1 cats", "refused"),
        (f"deploy --no-activate dev-1 {other}", "acknowledged"),
    ]
    assert final[0]["detail"] == "digits/1/other is stored, each byte as its manifest says"
    assert len(audit["rows"]) == 3 * len(final)


async def test_an_unload_that_comes_twice_is_the_same_unload(device):
    """Loaded again in between, it stays loaded: the second is answered as the first, so is a load."""
    await optimized(device)
    load = LoadModel("l", "digits", "1", "int8-minmax", "d" * 32)
    assert "is loaded" in (await device.link.ask(load)).message
    unload = UnloadModel("u", "digits", "1", "int8-minmax", ID)
    first = (await device.link.ask(unload)).message
    assert (await device.link.ask(load)).message == "digits/1/int8-minmax is loaded"
    assert not (await named(device, "digits/1/int8-minmax")).loaded
    await device.link.ask(LoadModel("m", "digits", "1", "int8-minmax", "e" * 32))
    assert (await device.link.ask(unload)).message == first
    assert (await named(device, "digits/1/int8-minmax")).loaded


async def test_what_is_stored_was_read(device):
    """A bundle that has rotted, or is not there, is not said to be stored."""
    fp32 = await named(device, "digits/1/fp32")
    said = await device.link.ask(CheckModel("a", fp32.digest, ID))
    assert said.message == "digits/1/fp32 is stored, each byte as its manifest says"
    (file,) = (device.home / "state" / "models" / "bundles" / fp32.digest).glob("model.onnx")
    file.chmod(0o600)
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    with pytest.raises(RequestError, match=r"model\.onnx"):
        await device.link.ask(CheckModel("b", fp32.digest, "d" * 32))
    with pytest.raises(RequestError) as caught:
        await device.link.ask(CheckModel("c", "0" * 64))
    assert caught.value.code is ErrorCode.UNKNOWN_MODEL


async def test_a_cancel_that_comes_twice_is_the_same_cancel(device):
    """The second is answered as the first; another cancel of the same job is refused."""
    device.behave("wait")
    job_id = await device.order()
    await device.running(job_id)
    said = [
        (await device.link.ask(CancelJob(str(each), job_id, "kim", ID))).message
        for each in range(2)
    ]
    assert said == [f"{job_id} is cancelled; what it measured is kept"] * 2
    with pytest.raises(RequestError, match="is cancelled already"):
        await device.link.ask(CancelJob("n", job_id, "kim", "d" * 32))


async def test_what_was_decided_while_another_answered_is_refused(device):
    """An activation and a roll-back name what they saw; by now something else answers."""
    await optimized(device)
    fp32, best = [await named(device, f"digits/1/{each}") for each in ("fp32", "int8-minmax")]
    stale = ActivateModel("a", "digits", digest=best.digest, expected="0" * 64)
    with pytest.raises(RequestError, match=r"digits/1/fp32 answers to 'digits' by now") as caught:
        await device.link.ask(stale)
    assert caught.value.code is ErrorCode.CONFLICT
    assert (await active(device))["digits"] == "fp32"
    await device.link.ask(ActivateModel("b", "digits", digest=best.digest, expected=fp32.digest))
    # What is there already is no conflict: somebody else wanted the same.
    await device.link.ask(ActivateModel("c", "digits", digest=best.digest, expected=fp32.digest))
    with pytest.raises(RequestError, match="by now"):
        await device.link.ask(RollBackModel("d", "digits", fp32.digest))
    assert (await active(device))["digits"] == "int8-minmax"


async def test_a_stop_overtakes_what_takes_its_time(device):
    """On the same connection a cancel waits for its job; an override is in force meanwhile."""
    device.behave("deaf", "wait")
    job_id = await device.order()
    await device.running(job_id)
    cancel = asyncio.create_task(device.cancel(job_id))
    force = Force("f", ID, OverrideKind.FALLBACK, "kim", "smoke", 60.0)
    await device.link.ask(force)
    assert not cancel.done()
    assert job_id in await cancel


async def test_an_optimisation_waits_for_a_device_that_is_away(device, run):
    """`--detach` leaves it in the book; whoever reaches the device sends it."""
    await asyncio.to_thread(device.agent.stop)
    code, said = await run("optimize", "digits", "--on", "dev-1", "--detach", "--budget", "1m")
    assert (code, said["job_id"]) == (3, None)
    assert said["waiting"]["reason"]
    assert (await run("optimize", "digits", "--on", "dev-1"))[0] == 2
    assert (await run("activate", "dev-1", "digits"))[0] == 2
    _, audit = await run("audit")
    assert [row["outcome"] for row in audit["rows"]] == ["queued"]


async def test_bundles_that_nothing_needs_are_removed(device, run):
    """What answers, answered before, is loaded or configured stays, each with its reason."""
    await optimized(device)
    best = await named(device, "digits/1/int8-minmax")
    code, planned = await run("models", "remove", "dev-1", "digits", "--plan")
    fates = {each["bundle"]: (each["outcome"], each["detail"]) for each in planned["bundles"]}
    assert code == 0
    assert fates == {
        "digits/1/int8-minmax": ("would be removed", ""),
        "digits/1/fp32": ("stays", "it answers to 'digits'"),
    }
    assert (await run("activate", "dev-1", "digits/1/int8-minmax"))[0] == 0
    code, kept = await run("models", "remove", "dev-1", "digits")
    assert code == 1
    assert {each["bundle"]: each["detail"] for each in kept["bundles"]} == {
        "digits/1/int8-minmax": "it answers to 'digits'",
        "digits/1/fp32": "it answered to 'digits' before, and may have to again",
    }
    for digest in (best.digest, (await named(device, "digits/1/fp32")).digest):
        with pytest.raises(RequestError, match="stays: it answer") as caught:
            await device.link.ask(RemoveModel("r", digest))
        assert caught.value.code is ErrorCode.CONFLICT
    tiny = await named(device, "digits-tiny/1/fp32")
    with pytest.raises(RequestError, match="stays"):
        await device.link.ask(RemoveModel("t", tiny.digest))
    with pytest.raises(RequestError) as caught:
        await device.link.ask(RemoveModel("u", "0" * 64))
    assert caught.value.code is ErrorCode.UNKNOWN_MODEL


async def test_a_removed_bundle_is_gone_with_its_files_and_audited(device, run):
    """The store is as small as before the job; the trail has the digest; again there is nothing."""
    store = device.home / "state" / "models"
    before = contents(store)
    await optimized(device)
    assert contents(store) > before
    code, said = await run("models", "remove", "dev-1", "digits/1/int8-minmax")
    assert (code, [each["outcome"] for each in said["bundles"]]) == (0, ["removed"])
    assert contents(store) == before
    assert "bundle_removed" in [kind for kind, _ in device.events]
    _, audit = await run("audit")
    digest = said["bundles"][0]["digest"][:12]
    line = f"models remove dev-1 digits/1/int8-minmax --digest {digest}"
    assert (audit["rows"][0]["line"], audit["rows"][0]["outcome"]) == (line, "acknowledged")
    code, _ = await run("models", "remove", "dev-1", "digits/1/int8-minmax")
    assert code == 2


async def test_what_a_job_works_on_stays(device):
    """The job would end without it."""
    await optimized(device)
    best = await named(device, "digits/1/int8-minmax")
    device.behave("wait")
    job_id = await device.order(model="", digest=best.digest)
    with pytest.raises(RequestError, match=f"stays: job {job_id} works on it"):
        await device.link.ask(RemoveModel("r", best.digest))
    await device.cancel(job_id)
    assert "is removed" in (await device.link.ask(RemoveModel("s", best.digest))).message


async def test_what_device_toml_names_stays_also_when_it_is_out_of_use(device):
    """Were it removed, it would be new at the next start and take over; so it is kept."""
    fp32 = await named(device, "digits/1/fp32")
    for name in ("one", "two"):
        folder = device.home / name
        shutil.copytree(bundle_path("digits"), folder)
        manifest = folder / "manifest.json"
        manifest.write_text(manifest.read_text().replace('"fp32"', f'"{name}"', 1))
    fleet = str(device.home / "fleet.toml")
    for name in ("one", "two"):
        code = await asyncio.to_thread(
            main, ["deploy", "dev-1", str(device.home / name), "--fleet", fleet]
        )
        assert code == 0
    assert (await active(device))["digits"] == "two"
    with pytest.raises(RequestError, match=r"digits/1/fp32 stays: device\.toml names it"):
        await device.link.ask(RemoveModel("r", fp32.digest))


@pytest.mark.parametrize(
    "words", [["remove", "dev-1"], ["a", "b", "c"], ["dev-1", "--plan"], ["dev-1", "digits"]]
)
async def test_what_is_not_understood_is_said(device, words, capsys):
    """Exit code 2 and the form it should have."""
    fleet = str(device.home / "fleet.toml")
    assert await asyncio.to_thread(main, ["models", *words, "--fleet", fleet]) == 2
    assert "models remove DEVICE MODEL" in capsys.readouterr().err


async def test_a_console_sees_what_there_is_orders_it_and_sees_what_it_changed(device, eventually):
    """Stores and findings over its link; an order through the book; the switch with both bundles."""
    await optimized(device)
    fp32, best = [await named(device, f"digits/1/{each}") for each in ("fp32", "int8-minmax")]
    async with FleetService(load_inventory(device.home / "fleet.toml")) as service:
        # Its first sample may be from before its models were there.
        await eventually(lambda: service.store.devices()[0].active is not None)
        (said,) = await service.models.look(["dev-1"])
        assert {each.digest for each in said.models} >= {fp32.digest, best.digest}
        (finding,) = said.findings
        assert finding.measured[best.digest].recommended
        task = ActivateTask("digits", "1", "int8-minmax", best.digest, fp32.digest)
        intent = Intent.of(task, ID, "kim@desk")
        await service.order(intent, ["dev-1"])

        async def over() -> bool:
            (standing,) = await service.standings(ID)
            return standing.outcome is Outcome.ACKNOWLEDGED

        await eventually(over)
        await eventually(lambda: service.store.switch("dev-1") is not None)
        switch = service.store.switch("dev-1")
        assert (switch.before_key, switch.after_key) == (fp32.key, best.key)
        rows = await service.audit()
        assert [row.outcome.value for row in rows] == ["acknowledged", "sent", "queued"]
    assert (await active(device))["digits"] == "int8-minmax"
