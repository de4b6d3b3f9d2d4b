"""What the README says is true."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from edgeconsole.specs import (
    EdgeAgentConfig,
    FailsafeSpec,
    FleetDevice,
    FleetSpec,
    HealthConfig,
    LadderConfig,
    ModelDeploymentSpec,
    PowerEstimate,
    ServerConfig,
    ServingConfig,
    SimulatedHeat,
    ThermalConstraints,
)
from edgeconsole.toml_file import load_toml

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
SENSORS = (ROOT / "docs" / "sensors.md").read_text()
HEAT = (ROOT / "docs" / "heat.md").read_text()


def blocks(language: str) -> list[str]:
    """Return the README's code blocks of one language."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


async def test_the_client_example_runs(shared_agent, capsys):
    """The example, as printed, gets an answer from an agent and the digit is right."""
    code = next(block for block in blocks("python") if "EdgeClient(" in block)
    names: dict[str, object] = {"__name__": "example"}
    exec(compile(code, "README.md", "exec"), names)
    await names["main"](shared_agent.url, shared_agent.token_file)  # type: ignore[operator]
    got, expected = re.match(r"(\d) should be (\d) ", capsys.readouterr().out).groups()  # type: ignore[union-attr]
    assert got == expected


@pytest.mark.parametrize(
    ("marker", "kind"), [("agent_id", EdgeAgentConfig), ("stale_after_s", FleetSpec)]
)
def test_the_configuration_examples_are_valid(tmp_path, marker, kind):
    """The two configuration examples load as they are."""
    text = next(block for block in blocks("toml") if marker in block)
    file = tmp_path / "example.toml"
    file.write_text(text)
    assert load_toml(file, kind)


@pytest.mark.parametrize(
    "kind",
    [
        EdgeAgentConfig,
        ServerConfig,
        ServingConfig,
        LadderConfig,
        FleetSpec,
        FleetDevice,
        ModelDeploymentSpec,
        FailsafeSpec,
        HealthConfig,
        PowerEstimate,
        SimulatedHeat,
        ThermalConstraints,
    ],
)
def test_every_key_is_documented(kind):
    """Each key of `device.toml` and `fleet.toml` is in the README, docs/sensors.md or docs/heat.md."""
    for field in msgspec.structs.fields(kind):
        assert re.search(rf"\b{field.encode_name}\b", README + SENSORS + HEAT), field.encode_name


def test_the_verbs_are_documented():
    """Each verb of `edgeconsole` is in the README."""
    from edgeconsole.cli import _parser

    actions = [
        action for action in _parser()._actions if action.choices and action.dest == "==SUPPRESS=="
    ]
    for verb in actions[0].choices or ():
        assert re.search(rf"\b{verb}\b", README), verb


def test_pictures_are_there():
    """Each picture the README shows is in the repository."""
    for path in re.findall(r"!\[[^]]*\]\(([^)]+)\)", README):
        assert (ROOT / path).is_file(), path
