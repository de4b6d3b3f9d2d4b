"""Variants for other engines travel to a real agent and are served, or refused with a reason."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from edgeconsole.bundle import Bundle
from edgeconsole.bundle.writer import write_variant
from edgeconsole.client import EdgeClient
from edgeconsole.engines import Engine, Execution, installed_engines
from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.fleet.control import ControlLink
from edgeconsole.fleet.deploy import send_bundle
from edgeconsole.protocol.control import ActivateModel, Optimize
from edgeconsole.specs import ModelOptimizationLevel

sys.path.insert(0, str(Path(__file__).parents[1]))
from models import sure_model
from tflite_models import ABSOLUTE, tflite

BARE = 'agent_id = "dev-1"\nstate_dir = "state"\n[server]\nport = 0\n'
NARROW = """\
[device]
supported_frameworks = ["onnxruntime"]
optimization_capabilities = ["quantization", "pruning"]
[[models]]
model_id = "sure"
bundle = "{bundle}"
supported_optimizations = ["pruning"]
"""
OPENVINO = Execution(Engine.OPENVINO)
LITERT = Execution(Engine.LITERT, max_batch=1)


def variant(folder: Path, execution: Execution, *, wrong: float = 0.0) -> Bundle:
    """Write y = abs(x) as a variant for another engine; `wrong` is added to its golden answers."""
    source = sure_model(folder / "sure")
    model = source.file_path("model.onnx").read_bytes()
    if execution is LITERT:
        model = tflite(["x"], [(ABSOLUTE, ["x"], "y")], ["y"])
    inputs, outputs = source.golden()
    return write_variant(
        folder / "variant",
        source,
        f"fp32-{execution.engine}",
        model=model,
        golden_inputs=inputs,
        golden_outputs={name: array + np.float32(wrong) for name, array in outputs.items()},
        execution=execution,
    )


async def activate(agent, digest: str) -> str:
    """Let a stored bundle answer to its name."""
    async with ControlLink(agent.url, agent.token, lambda _: None) as link:
        command = ActivateModel(id="a", model="sure", digest=digest)
        return (await link.ask(command)).message


@pytest.fixture(params=[OPENVINO, LITERT], ids=lambda each: each.engine)
def execution(request: pytest.FixtureRequest) -> Execution:
    """Return each engine that is installed here."""
    if request.param.engine not in installed_engines():
        pytest.skip(f"{request.param.engine} is not installed")
    return request.param


async def test_a_variant_for_another_engine_is_served(agents, tmp_path, execution):
    """It answers every number of rows, many at once, and comes back after a restart."""
    agent = await asyncio.to_thread(agents.start, agents.write(toml=BARE))
    bundle = variant(tmp_path, execution)
    await send_bundle(agent.url, agent.token, bundle)
    assert "is active" in await activate(agent, bundle.digest)

    async def ask(client: EdgeClient, rows: int) -> None:
        x = np.arange(rows * 4, dtype=np.float32).reshape(rows, 4) - 6
        answer = await client.infer("sure", {"x": x}, deadline_ms=5000)
        np.testing.assert_array_equal(answer.outputs["y"], np.abs(x))

    async with EdgeClient(agent.url, token=agent.token) as client:
        await asyncio.gather(*(ask(client, rows) for rows in (1, 5, 2, 1, 1, 3, 1, 1)))
    [pid] = agent.worker_pids()
    mapped = {each.path for each in psutil.Process(pid).memory_maps()}
    assert not [path for path in mapped if "onnxruntime" in path]
    agent.process.kill()
    agent.process.wait(5)
    agent = await asyncio.to_thread(agents.start, agent.home)
    async with EdgeClient(agent.url, token=agent.token) as client:
        await ask(client, 2)


async def test_golden_answers_are_proven_in_the_variant_s_own_engine(agents, tmp_path, execution):
    """A variant that does not give them is not served."""
    agent = await asyncio.to_thread(agents.start, agents.write(toml=BARE))
    bundle = variant(tmp_path, execution, wrong=1.0)
    await send_bundle(agent.url, agent.token, bundle)
    with pytest.raises(RequestError, match="golden self-test failed"):
        await activate(agent, bundle.digest)


@pytest.fixture
async def narrow(agents, tmp_path):
    """Return an agent whose file leaves engines and levels out."""
    source = sure_model(tmp_path / "model")
    home = agents.write(toml=BARE + NARROW.format(bundle=source.path))
    return await asyncio.to_thread(agents.start, home)


async def test_an_engine_that_is_left_out_is_refused_before_anything_is_sent(narrow, tmp_path):
    """The refusal names the engine and the setting, and the hello says what there is."""
    bundle = variant(tmp_path, OPENVINO)
    sent: list[str] = []
    with pytest.raises(RequestError, match=r"openvino.*supported_frameworks") as caught:
        await send_bundle(narrow.url, narrow.token, bundle, lambda name, _: sent.append(name))
    assert caught.value.code is ErrorCode.CONFLICT
    assert sent == []
    async with ControlLink(narrow.url, narrow.token, lambda _: None) as link:
        hello = await link.hello()
    assert hello.device.supported_frameworks == ("onnxruntime",)


async def test_a_level_that_is_left_out_is_refused(narrow):
    """The device's file and the model's entry both have a say; what they allow is taken."""
    level = ModelOptimizationLevel
    async with ControlLink(narrow.url, narrow.token, lambda _: None) as link:

        async def order(wanted: ModelOptimizationLevel) -> str:
            command = Optimize(id=link.next_id(), actor="kim", model="sure", level=wanted)
            return (await link.ask(command)).job_id

        for wanted, words in (
            (level.FULL_OPTIMIZATION, "optimization_capabilities of the device"),
            (level.DISTILLATION, "optimization_capabilities of the device"),
            (level.QUANTIZATION, "supported_optimizations of 'sure'"),
        ):
            with pytest.raises(RequestError, match=words) as caught:
                await order(wanted)
            assert caught.value.code is ErrorCode.FORBIDDEN
        assert await order(level.PRUNING)
