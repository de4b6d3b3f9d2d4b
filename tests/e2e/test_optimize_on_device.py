"""The whole way, nothing taken the place of: a verb, a real agent, the real optimiser, an answer."""

from __future__ import annotations

import asyncio
import json
import sys

import pytest

from edgeconsole.client import EdgeClient


@pytest.mark.timeout(120)
async def test_a_served_model_is_optimised_on_its_device_and_deployed(agents, heldout):
    """The smallest variant that keeps to the gate is made, measured and answers; others go on."""
    agent = agents.start(agents.write())
    fleet = agent.home / "fleet.toml"
    fleet.write_text(
        f'history = "h.db"\n[[devices]]\nid = "dev-1"\nurl = "{agent.url}"\n'
        'token_file = "state/token"\n'
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "edgeconsole", "--fleet", fleet, "optimize", "digits-tiny"),
        *("--on", "dev-1", "--level", "quantization", "--budget", "10s", "--objective", "size"),
        *("--activate", "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    ended = asyncio.create_task(process.communicate())
    images, labels = heldout
    answered = 0
    async with EdgeClient(agent.url, token=agent.token) as client:
        while not ended.done():
            result = await client.infer("digits", {"image": images[:1]}, deadline_ms=1000)
            assert result.model == "digits"
            answered += 1
            await asyncio.sleep(0.01)
        out, error = await ended
        assert process.returncode == 0, error.decode()
        said = json.loads(out)
        job, report = said["job"], said["report"]
        rows = {row["name"]: row for row in report["variants"]}
        best = rows[report["recommended"]]
        assert best["technique"] != rows["fp32"]["technique"]
        assert best["size_bytes"] < rows["fp32"]["size_bytes"]
        assert best["drop"] <= 1.0
        assert best["digest"] == job["recommended"]["digest"]
        assert job["serving_p99_ms_during"] > 0
        result = await client.infer("digits-tiny", {"image": images[:20]}, deadline_ms=1000)
        assert result.variant == job["recommended"]["variant"]
        right = (result.outputs["logits"].argmax(1) == labels[:20]).sum()
        assert right >= 17
    assert answered > 100
