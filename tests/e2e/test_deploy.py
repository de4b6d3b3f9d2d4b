"""Bundles travel to a real agent, answer there, are rolled back, and survive restarts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from websockets.asyncio.client import connect

from edgeconsole.bundle import Bundle, Task
from edgeconsole.bundle.writer import Contents, write_bundle
from edgeconsole.client import EdgeClient
from edgeconsole.demo.data import bundle_path
from edgeconsole.errors import LinkError, RequestError
from edgeconsole.fleet.deploy import send_bundle

sys.path.insert(0, str(Path(__file__).parents[1]))
from models import root_model, slow_model

BARE = 'agent_id = "dev-1"\nstate_dir = "state"\n[server]\nport = 0\n'


def cli(home: Path, *arguments: object):
    """Run `edgeconsole` on a fleet of the one agent."""
    return subprocess.run(
        [sys.executable, "-m", "edgeconsole", "--fleet", home / "fleet.toml", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ,
    )


@pytest.fixture
def bare_agent(agents, free_port):
    """Return an agent without any model, and a fleet file beside it."""
    home = agents.write(toml=BARE.replace("port = 0", f"port = {free_port}"))
    (home / "fleet.toml").write_text(
        f'history = "h.db"\n[[devices]]\nid = "dev-1"\nurl = "ws://127.0.0.1:{free_port}"\n'
        'token_file = "state/token"\n'
    )
    return agents.start(home)


async def test_deploy_rollback_and_restart(agents, bare_agent, tmp_path):
    """A deployed bundle answers, its successor replaces it, rollback returns, a restart keeps it."""
    one = slow_model(tmp_path / "one", layers=2)
    slow_model(tmp_path / "two", layers=3, version="2")
    home = bare_agent.home
    planned = cli(home, "deploy", "dev-1", tmp_path / "one", "--plan", "--json")
    assert json.loads(planned.stdout)["outcome"] == "would be sent and activated"
    first = json.loads(cli(home, "deploy", "dev-1", tmp_path / "one", "--json").stdout)
    assert first["outcome"] == "is active"
    assert first["sent_bytes"] == sum(file.size for file in one.manifest.files)
    again = json.loads(cli(home, "deploy", "dev-1", tmp_path / "one", "--json").stdout)
    assert again["sent_bytes"] == 0
    assert cli(home, "deploy", "dev-1", tmp_path / "two").returncode == 0

    async def version(agent) -> str:
        async with EdgeClient(agent.url, token=agent.token) as client:
            x = np.zeros((1, 64, 256), np.float32)
            return (await client.infer("slow", {"x": x}, deadline_ms=5000)).model_version

    assert await version(bare_agent) == "2"
    assert cli(home, "rollback", "dev-1", "slow").returncode == 0
    assert await version(bare_agent) == "1"
    bare_agent.process.kill()
    bare_agent.process.wait(5)
    assert await version(agents.start(home)) == "1"


async def test_a_bundle_that_does_not_work_changes_nothing(bare_agent, tmp_path):
    """A bundle whose golden outputs are not reproduced is refused, and the one before goes on."""
    root_model(tmp_path / "good")
    assert cli(bare_agent.home, "deploy", "dev-1", tmp_path / "good").returncode == 0
    good = Bundle.open(tmp_path / "good")
    inputs, outputs = good.golden()
    write_bundle(
        tmp_path / "bad",
        Contents(
            onnx=good.file_path("model.onnx").read_bytes(),
            golden_inputs=inputs,
            golden_outputs={"y": outputs["y"] + 1},
        ),
        model="root",
        version="2",
        task=Task.CUSTOM,
        inputs=good.manifest.inputs,
        outputs=good.manifest.outputs,
    )
    refused = cli(bare_agent.home, "deploy", "dev-1", tmp_path / "bad")
    assert refused.returncode == 2
    assert "golden self-test failed" in refused.stderr
    async with EdgeClient(bare_agent.url, token=bare_agent.token) as client:
        result = await client.infer("root", {"x": np.full((1, 4), 4.0, np.float32)})
    assert result.model_version == "1"


async def test_wrong_content_never_enters_the_store(bare_agent, tmp_path):
    """Bytes that are not what the manifest says are refused, and the store stays as it was."""
    root_model(tmp_path / "b")
    bundle = Bundle.open(tmp_path / "b")
    file = tmp_path / "b" / "model.onnx"
    data = bytearray(file.read_bytes())
    data[-1] ^= 0xFF
    file.write_bytes(data)
    with pytest.raises(RequestError, match="not what the manifest says"):
        await send_bundle(bare_agent.url, bare_agent.token, bundle)
    listed = cli(bare_agent.home, "models", "dev-1", "--json")
    assert json.loads(listed.stdout)["models"] == []
    shutil.rmtree(tmp_path / "b")
    root_model(tmp_path / "b")
    await send_bundle(bare_agent.url, bare_agent.token, Bundle.open(tmp_path / "b"))


@pytest.mark.parametrize(
    "frames",
    [
        ["{"],
        [b"bytes first"],
        ['{"type":"file","path":"model.onnx"}'],
        ['{"type":"commit"}'],
        ['{"type":"offer","manifest":"e30="}'],
        ['{"type":"offer","manifest":"%%%"}'],
    ],
)
async def test_a_transfer_out_of_order_is_refused(bare_agent, frames):
    """Each wrong step gets one `failed` with a sentence, and the agent lives."""
    headers = {"Authorization": f"Bearer {bare_agent.token}"}
    async with connect(bare_agent.url + "/v1/bundle", additional_headers=headers) as connection:
        for frame in frames:
            await connection.send(frame)
        reply = json.loads(await connection.recv())
    assert reply["type"] == "failed"
    assert len(reply["error"]) > 10
    assert bare_agent.process.poll() is None


async def test_only_data_travels(bare_agent):
    """Of a bundle with `model.pt2` the device gets everything but the file that runs code."""
    bundle = Bundle.open(bundle_path("digits"))
    sent: list[str] = []
    await send_bundle(bare_agent.url, bare_agent.token, bundle, lambda path, _: sent.append(path))
    assert "model.onnx" in sent
    assert "model.pt2" not in sent
    names = {each.name for each in bare_agent.home.rglob("*") if each.is_file()}
    assert "model.pt2" not in names
    with pytest.raises(LinkError, match="refused"):
        async with (
            connect(
                bare_agent.url + "/v1/bundle",
                additional_headers={"Authorization": f"Bearer {bare_agent.token}"},
            ),
        ):
            await send_bundle(bare_agent.url, bare_agent.token, bundle)


async def test_transfers_may_follow_each_other_at_once(bare_agent):
    """A transfer that was confirmed has made room for the next one."""
    bundle = Bundle.open(bundle_path("digits"))
    for _ in range(30):
        assert await send_bundle(bare_agent.url, bare_agent.token, bundle) == bundle.digest


async def test_deploying_again_repairs_a_damaged_copy(bare_agent, tmp_path):
    """When a stored file rots, the same deploy command brings the file and the answers back."""
    root_model(tmp_path / "b")
    assert cli(bare_agent.home, "deploy", "dev-1", tmp_path / "b").returncode == 0
    assert cli(bare_agent.home, "unload", "dev-1", "root").returncode == 0
    (stored,) = (bare_agent.home / "state" / "models" / "bundles").glob("*/model.onnx")
    stored.chmod(0o600)
    stored.write_bytes(stored.read_bytes()[:-1] + b"!")
    assert cli(bare_agent.home, "activate", "dev-1", "root").returncode == 2
    repaired = cli(bare_agent.home, "deploy", "dev-1", tmp_path / "b")
    assert repaired.returncode == 0, repaired.stderr
    async with EdgeClient(bare_agent.url, token=bare_agent.token) as client:
        assert (await client.infer("root", {"x": np.ones((1, 4), np.float32)})).model == "root"
