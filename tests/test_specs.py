"""Specs refuse what cannot be meant, when they are made."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeconsole.specs import (
    AgentState,
    ComputeUnits,
    EdgeAgentConfig,
    EdgeDeploymentTier,
    EdgeDeviceSpec,
    FleetDevice,
    FleetSpec,
    LatencyRequirement,
    ModelDeploymentSpec,
    ModelOptimizationLevel,
    ServerConfig,
    ServingConfig,
    ThermalConstraints,
    check_id,
    is_loopback,
)

URL = "ws://127.0.0.1:7311"
ID = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"


@given(st.from_regex(ID, fullmatch=True))
def test_ids_that_fit_are_returned(value: str) -> None:
    """Every id of the documented form is accepted as it is."""
    assert check_id("agent_id", value) == value


@given(st.text().filter(lambda text: not re.fullmatch(ID, text)))
def test_other_ids_are_refused_with_their_name(value: str) -> None:
    """Anything else is refused, and the message says which setting is wrong."""
    with pytest.raises(ValueError, match=r"agent_id .* must be 1 to 64"):
        check_id("agent_id", value)


@pytest.mark.parametrize("value", ["../x", "a/b", "a\n", "", ".hidden", "a" * 65, "é"])
def test_ids_are_safe_in_paths(value: str) -> None:
    """No id can leave a folder, hide in it, or break a line."""
    with pytest.raises(ValueError, match="must be"):
        check_id("id", value)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.4", False),
        ("edge.example", False),
        ("localhost.example", False),
        ("", False),
    ],
)
def test_loopback_is_only_this_machine(host: str, expected: bool) -> None:  # noqa: FBT001
    """Names and addresses that others can reach are never taken for loopback."""
    assert is_loopback(host) is expected


def model(**changes: Any) -> ModelDeploymentSpec:
    """Return a model's spec."""
    return ModelDeploymentSpec(**{"model_id": "digits", **changes})


def agent(**changes: Any) -> EdgeAgentConfig:
    """Return an agent's configuration."""
    return EdgeAgentConfig(**{"agent_id": "bench-1", **changes})


def device(**changes: Any) -> FleetDevice:
    """Return a fleet's device."""
    return FleetDevice(**{"id": "a", "url": URL, **changes})


REFUSED: list[tuple[Callable[..., object], dict[str, Any], str]] = [
    (ComputeUnits, {"cpu_cores": 0}, "cpu_cores"),
    (ComputeUnits, {"gpu_cores": -1}, "gpu_cores"),
    (ComputeUnits, {"tpu_units": -1}, "tpu_units"),
    (ThermalConstraints, {"warn_temp_c": -1.0}, "warn_temp_c"),
    (ThermalConstraints, {"max_temp_c": 125.1}, "max_temp_c"),
    (ThermalConstraints, {"max_temp_c": float("nan")}, "max_temp_c"),
    (ThermalConstraints, {"warn_temp_c": 90.0, "max_temp_c": 90.0}, "must be below"),
    (EdgeDeviceSpec, {"device_id": "a b"}, "device_id"),
    (EdgeDeviceSpec, {"memory_mb": 0}, "memory_mb"),
    (EdgeDeviceSpec, {"storage_gb": -1}, "storage_gb"),
    (EdgeDeviceSpec, {"network_bandwidth_mbps": 0}, "network_bandwidth_mbps"),
    (EdgeDeviceSpec, {"power_budget_w": float("nan")}, "power_budget_w"),
    (model, {"model_id": ""}, "model_id"),
    (model, {"deadline_ms": 0.0}, "deadline_ms"),
    (model, {"deadline_ms": float("nan")}, "deadline_ms"),
    (model, {"accuracy_baseline": 1.01}, "accuracy_baseline"),
    (model, {"memory_requirement_mb": 15}, "memory_requirement_mb"),
    (model, {"intra_op_threads": 0}, "intra_op_threads"),
    (model, {"intra_op_threads": 1025}, "intra_op_threads"),
    (model, {"workers": 0}, "workers"),
    (model, {"max_batch": 0}, "max_batch"),
    (model, {"max_delay_ms": -0.1}, "max_delay_ms"),
    (model, {"max_delay_ms": float("nan")}, "max_delay_ms"),
    (model, {"fallback_models": ("digits",)}, "own fallback"),
    (ServerConfig, {"port": -1}, "port"),
    (ServerConfig, {"port": 65536}, "port"),
    (ServerConfig, {"host": "0.0.0.0"}, "SSH tunnel"),
    (ServingConfig, {"max_queue": 0}, "max_queue"),
    (ServingConfig, {"max_queue": 65537}, "max_queue"),
    (ServingConfig, {"max_message_bytes": 1023}, "max_message_bytes"),
    (ServingConfig, {"max_message_bytes": 64 * 2**20 + 1}, "max_message_bytes"),
    (ServingConfig, {"hang_timeout_s": 0.09}, "hang_timeout_s"),
    (ServingConfig, {"hang_timeout_s": 601.0}, "hang_timeout_s"),
    (agent, {"agent_id": "-"}, "agent_id"),
    (agent, {"model_specs": (model(), model())}, "'digits' is listed twice"),
    (agent, {"model_specs": (model(fallback_models=("tiny",)),)}, "names the fallback 'tiny'"),
    (device, {"id": ""}, "id"),
    (device, {"url": "http://a:1"}, "url must look like"),
    (device, {"url": "ws://"}, "url must look like"),
    (device, {"url": "ws://a b"}, "url must look like"),
    (device, {"url": f"{URL}/v1/infer"}, "url must look like"),
    (FleetSpec, {"devices": (device(), device())}, "'a' is listed twice"),
    (FleetSpec, {"stale_after_s": 0.0}, "stale_after_s"),
    (FleetSpec, {"stale_after_s": 15.0, "gone_after_s": 15.0}, "stale_after_s"),
    (FleetSpec, {"warn_temp_c": 95.0}, "warn_temp_c"),
    (FleetSpec, {"max_temp_c": 126.0}, "max_temp_c|within"),
]


@pytest.mark.parametrize(("make", "settings", "text"), REFUSED)
def test_impossible_settings_are_refused(
    make: Callable[..., object], settings: dict[str, Any], text: str
) -> None:
    """A value out of its range is refused with a sentence that names it."""
    with pytest.raises(ValueError, match=text):
        make(**settings)


ACCEPTED: list[tuple[Callable[..., object], dict[str, Any]]] = [
    (ComputeUnits, {"cpu_cores": 1, "gpu_cores": 0, "tpu_units": 0}),
    (ThermalConstraints, {"warn_temp_c": 0.0, "max_temp_c": 125.0}),
    (ThermalConstraints, {"warn_temp_c": 99.0}),
    (EdgeDeviceSpec, {"memory_mb": 1, "storage_gb": 1, "power_budget_w": 0.1}),
    (model, {"accuracy_baseline": 0.0, "memory_requirement_mb": 16, "intra_op_threads": 1024}),
    (ServerConfig, {"host": "::1", "port": 0}),
    (ServerConfig, {"port": 65535}),
    (ServingConfig, {"max_queue": 65536, "max_message_bytes": 1024, "hang_timeout_s": 600.0}),
    (agent, {"model_specs": (model(fallback_models=("tiny",)), model(model_id="tiny"))}),
    (device, {"url": "wss://edge.example:443/"}),
    (FleetSpec, {}),
]


@pytest.mark.parametrize(("make", "settings"), ACCEPTED)
def test_limits_themselves_are_accepted(
    make: Callable[..., object], settings: dict[str, Any]
) -> None:
    """The ends of each range belong to it: what was given is what the spec holds."""
    spec = make(**settings)
    assert {name: getattr(spec, name) for name in settings} == settings


@pytest.mark.parametrize(
    "spec", [ComputeUnits(), EdgeDeviceSpec(), model(), agent(), device(), FleetSpec()]
)
def test_specs_cannot_be_changed(spec: msgspec.Struct) -> None:
    """A spec that was checked stays what it was."""
    name = spec.__struct_fields__[0]
    with pytest.raises(AttributeError):
        setattr(spec, name, None)


@pytest.mark.parametrize(
    ("kind", "deadline_ms"),
    [("real_time", 1.0), ("near_real_time", 10.0), ("interactive", 100.0), ("batch", 1000.0)],
)
def test_latency_classes_stand_for_deadlines(kind: str, deadline_ms: float) -> None:
    """Each latency class is a deadline, ten times the one before."""
    assert LatencyRequirement(kind).deadline_ms == deadline_ms


@pytest.mark.parametrize(
    ("model_id", "expected"), [("digits", 20.0), ("tiny", 10.0), ("unlisted", 10.0)]
)
def test_model_deadline_falls_back_to_the_latency_class(model_id: str, expected: float) -> None:
    """A model's own deadline wins; without one the agent's latency class decides."""
    config = agent(
        latency_requirement=LatencyRequirement.NEAR_REAL_TIME,
        model_specs=(model(deadline_ms=20.0), model(model_id="tiny")),
    )
    assert config.deadline_ms(model_id) == expected


@pytest.mark.parametrize(
    "kind", [EdgeDeploymentTier, ModelOptimizationLevel, LatencyRequirement, AgentState]
)
def test_enum_values_are_the_lower_case_names(kind: type) -> None:
    """What stands in files and messages is the member's name in lower case."""
    assert [member.value for member in kind] == [member.name.lower() for member in kind]  # type: ignore[attr-defined]
