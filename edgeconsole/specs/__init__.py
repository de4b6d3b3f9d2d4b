"""The vocabulary, and the specs of devices, models, agents and fleets.

Everything here is immutable and validated when it is made. Units are in the names. The names come
from the document the project started from; where its values were wrong they are corrected here
(a dtype is not a framework, an unknown power draw is not a number, a latency class is a deadline).
"""

from edgeconsole.specs.agent import (
    EdgeAgentConfig,
    HealthConfig,
    HttpConfig,
    LadderConfig,
    PowerEstimate,
    QueuePolicy,
    ServerConfig,
    ServingConfig,
    SimulatedHeat,
    TelemetryConfig,
)
from edgeconsole.specs.device import ComputeUnits, EdgeDeviceSpec, ThermalConstraints
from edgeconsole.specs.fleet import AlertConfig, FleetDevice, FleetSpec, RetentionConfig
from edgeconsole.specs.model import FailsafeSpec, ModelDeploymentSpec
from edgeconsole.specs.vocabulary import (
    AgentState,
    EdgeDeploymentTier,
    LatencyRequirement,
    ModelOptimizationLevel,
    check_id,
    is_loopback,
)

__all__ = [
    "AgentState",
    "AlertConfig",
    "ComputeUnits",
    "EdgeAgentConfig",
    "EdgeDeploymentTier",
    "EdgeDeviceSpec",
    "FailsafeSpec",
    "FleetDevice",
    "FleetSpec",
    "HealthConfig",
    "HttpConfig",
    "LadderConfig",
    "LatencyRequirement",
    "ModelDeploymentSpec",
    "ModelOptimizationLevel",
    "PowerEstimate",
    "QueuePolicy",
    "RetentionConfig",
    "ServerConfig",
    "ServingConfig",
    "SimulatedHeat",
    "TelemetryConfig",
    "ThermalConstraints",
    "check_id",
    "is_loopback",
]
