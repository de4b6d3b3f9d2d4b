"""`edgeconsole optimize` and `jobs` against a real agent whose optimiser is the stand-in."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import sys
from pathlib import Path

import pytest

from edgeconsole.bundle import Bundle
from edgeconsole.client import EdgeClient
from edgeconsole.protocol.jobs import JobState

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))
from job_device import Device
from models import root_model


@pytest.fixture
async def device(agents):
    """Return a device that serves digits and is in a fleet file."""
    async with Device(agents, agents.write()) as found:
        found.write_fleet()
        yield found


async def begin(device: Device, *arguments: object, **options) -> asyncio.subprocess.Process:
    """Start the command line on the device's fleet."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "edgeconsole", "--fleet", device.home / "fleet.toml", *map(str, arguments)),
        **{"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE, **options},
    )


async def verb(device: Device, *arguments: object) -> tuple[int, str, str]:
    """Run the command line to its end; returns its exit code and what it printed."""
    process = await begin(device, *arguments)
    out, error = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), error.decode()


async def test_a_model_is_optimised_and_the_recommendation_is_one_command_away(device):
    """Progress on stderr, the table and the command on stdout; that command deploys it."""
    code, out, error = await verb(device, "optimize", "digits", "--on", "dev-1")
    assert code == 0, error
    assert "int8-minmax" in out
    assert "2.0 ×" in out
    command = next(line for line in out.splitlines() if line.startswith("deploy it: edgeconsole "))
    assert command == "deploy it: edgeconsole activate dev-1 digits/1/int8-minmax"
    code, out, _ = await verb(device, *command.removeprefix("deploy it: edgeconsole ").split())
    assert (code, out) == (0, "digits/1/int8-minmax is active\n")


async def test_json_has_the_job_and_the_report_and_activate_deploys(device):
    """Scripts get everything on stdout and nothing on stderr."""
    code, out, error = await verb(
        device, "optimize", "digits", "--on", "dev-1", "--activate", "--json"
    )
    assert (code, error) == (0, "")
    said = json.loads(out)
    assert (said["device"], said["activated"], said["job"]["state"]) == ("dev-1", True, "done")
    assert said["report"]["recommended"] == "int8-minmax"
    _, out, _ = await verb(device, "models", "dev-1", "--json")
    active = [each["variant"] for each in json.loads(out)["models"] if each["active"]]
    assert "int8-minmax" in active


async def test_a_folder_is_sent_first_and_does_not_answer(device, tmp_path):
    """Only what the device lacks is sent; the plan says so and does nothing."""
    root_model(tmp_path / "root")
    bundle = Bundle.open(tmp_path / "root")
    command = ("optimize", tmp_path / "root", "--on", "dev-1")
    code, out, _ = await verb(device, *command, "--plan", "--json")
    plan = json.loads(out)["plan"]
    assert (code, plan["bundle"], plan["digest"]) == (0, bundle.manifest.key, bundle.digest)
    assert plan["send_bytes_at_most"] == sum(file.size for file in bundle.manifest.files)
    assert await device.jobs() == []
    code, out, error = await verb(device, *command)
    assert code == 0, error
    assert "sent model.onnx" in error
    (job,) = await device.jobs()
    assert job.bundle.digest == bundle.digest
    code, out, _ = await verb(device, *command, "--plan")
    assert "nothing would be sent" in out
    assert "it starts at once" in out
    _, out, _ = await verb(device, "models", "dev-1", "--json")
    assert not any(each["loaded"] for each in json.loads(out)["models"] if each["model"] == "root")


async def test_detach_leaves_it_running_and_jobs_shows_and_cancels_it(device):
    """`jobs` lists it with its step, `jobs cancel` ends it, `jobs report` has none then."""
    device.behave("wait")
    code, out, _ = await verb(device, "optimize", "digits", "--on", "dev-1", "--detach", "--json")
    job_id = json.loads(out)["job_id"]
    assert code == 0
    await device.running(job_id)
    code, out, _ = await verb(device, "jobs")
    row = next(line for line in out.splitlines() if job_id in line)
    assert code == 0
    assert "running" in row
    assert "build int8-minmax 1/3 · at most 9s more" in row
    code, out, _ = await verb(device, "jobs", "cancel", "dev-1", job_id)
    assert (code, out) == (0, f"{job_id} is cancelled; what it measured is kept\n")
    code, _, error = await verb(device, "jobs", "report", "dev-1", job_id)
    assert code == 2
    assert "has no report: cancelled by" in error
    code, out, _ = await verb(device, "jobs", "dev-1", "--json")
    (listed,) = json.loads(out)["devices"]
    assert [each["state"] for each in listed["jobs"]] == ["cancelled"]


async def test_a_report_can_be_had_later(device):
    """`jobs report` prints what `optimize` would have printed."""
    code, first, _ = await verb(device, "optimize", "digits", "--on", "dev-1")
    (job,) = await device.jobs()
    code, out, _ = await verb(device, "jobs", "report", "dev-1", job.job_id)
    assert (code, out) == (0, first)


async def test_ctrl_c_cancels_the_job_and_says_so(device):
    """It does not ask; the job is over when the verb is."""
    device.behave("wait")
    # Tests that run in the background of a shell inherit that Ctrl-C is ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = await begin(device, "optimize", "digits", "--on", "dev-1")
    signal.signal(signal.SIGINT, before)
    assert process.stderr is not None
    assert b"build int8-minmax" in await process.stderr.readuntil(b"int8-minmax\n")
    process.send_signal(signal.SIGINT)
    _, error = await process.communicate()
    (job,) = await device.jobs()
    assert process.returncode == 130
    assert job.state is JobState.CANCELLED
    assert f"{job.job_id} is cancelled" in error.decode()


async def test_a_terminal_has_one_line_of_progress(device):
    """On a terminal each step takes the place of the one before, and the last leaves nothing."""
    device.behave("wait")
    ours, theirs = pty.openpty()
    process = await begin(device, "optimize", "digits", "--on", "dev-1", stderr=theirs)
    os.close(theirs)
    shown = b""
    while b"build int8-minmax 1/3" not in shown:
        shown += await asyncio.to_thread(os.read, ours, 1024)
    device.go()
    await process.communicate()
    shown += await asyncio.to_thread(os.read, ours, 1024)
    os.close(ours)
    assert b"\n" not in shown
    assert shown.endswith(b"\r\x1b[2K")


@pytest.mark.parametrize(
    ("how", "code", "words"),
    [
        ("nothing", 1, "nothing keeps to the constraints"),
        ("refuse", 2, "failed: No space left on device"),
    ],
)
async def test_the_exit_code_says_how_it_went(device, how, code, words):
    """1: nothing fits; 2: it could not be done, and the last line says why."""
    device.behave(how)
    got, out, error = await verb(device, "optimize", "digits", "--on", "dev-1", "--activate")
    assert got == code, error
    assert words in out + error
    assert "Traceback" not in error


async def test_a_recommendation_that_does_not_prove_itself_is_not_activated(device, heldout):
    """The report is printed all the same, then why it does not answer; what answered goes on."""
    device.behave("wrong")
    code, out, error = await verb(device, "optimize", "digits", "--on", "dev-1", "--activate")
    assert code == 2
    assert "2.0 ×" in out
    assert "golden self-test failed" in error
    async with EdgeClient(device.agent.url, token=device.agent.token) as client:
        assert (await client.infer("digits", {"image": heldout[0][:1]})).variant == "fp32"


async def test_a_stored_bundle_is_named_by_its_key(device):
    """Its version and variant say which; the order behind another says so."""
    device.behave("wait")
    first = await device.order()
    await device.running(first)
    code, out, _ = await verb(device, "optimize", "digits-tiny/1", "--on", "dev-1", "--plan")
    assert code == 0
    assert "full_optimization of digits-tiny/1/" in out
    assert "1 job before it" in out
    code, out, _ = await verb(device, "optimize", "digits-tiny/1", "--on", "dev-1", "--detach")
    assert code == 0
    assert "is queued behind 1 on dev-1" in out
    assert [each.bundle.model for each in await device.jobs()] == ["digits", "digits-tiny"]


async def test_a_device_that_is_off_hides_no_other(device, free_port):
    """All devices are asked: exit code 1, the reason on stderr, the others' jobs on stdout."""
    with (device.home / "fleet.toml").open("a") as file:
        file.write(
            f'[[devices]]\nid = "dev-2"\nurl = "ws://127.0.0.1:{free_port}"\n'
            'token_file = "state/token"\n'
        )
    job_id = await device.order()
    code, out, error = await verb(device, "jobs")
    assert code == 1
    assert job_id in out
    assert "dev-2" in error
    code, out, _ = await verb(device, "jobs", "--json")
    assert [each["device"] for each in json.loads(out)["devices"]] == ["dev-1", "dev-2"]
    code, _, error = await verb(device, "jobs", "forget", "dev-1", job_id)
    assert (code, "not understood" in error) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("cats", "--on", "dev-1"), "'cats'"),
        (("cats", "--on", "dev-1", "--plan"), "'cats'"),
        (("digits/9", "--on", "dev-1"), "'digits/9'"),
        (("digits", "--on", "dev-9"), "dev-9"),
        (("digits", "--on", "dev-1", "--budget", "5s"), "between 10s and 24h"),
        (("digits", "--on", "dev-1", "--max-drop", "-1"), "--max-drop"),
        (("digits", "--on", "dev-1", "--max-drop", "inf"), "--max-drop"),
        (("digits", "--on", "dev-1", "--activate", "--detach"), "not allowed with"),
        ((".", "--on", "dev-1"), "manifest.json"),
    ],
)
async def test_what_cannot_be_ordered_is_refused(device, arguments, words):
    """Exit code 2 and a sentence; no job exists afterwards."""
    code, _, error = await verb(device, "optimize", *arguments)
    assert code == 2
    assert words in error
    assert await device.jobs() == []
