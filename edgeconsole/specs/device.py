"""What a device is: `[device]` of `device.toml`."""

from __future__ import annotations

from edgeconsole.specs.vocabulary import ModelOptimizationLevel, Spec, check_id


class ComputeUnits(Spec, frozen=True):
    """How many units of each kind a device has."""

    cpu_cores: int = 1
    gpu_cores: int = 0
    tpu_units: int = 0

    def __post_init__(self) -> None:
        """Refuse negative counts and a device without a CPU."""
        if self.cpu_cores < 1:
            raise ValueError(f"cpu_cores must be at least 1, got {self.cpu_cores}")
        if self.gpu_cores < 0 or self.tpu_units < 0:
            raise ValueError("gpu_cores and tpu_units must not be negative")


class ThermalConstraints(Spec, frozen=True):
    """Temperature limits in °C; `None` means that the device's own trip points decide."""

    warn_temp_c: float | None = None
    """From here on the device is warm; `None`: 15 °C below its limit."""
    max_temp_c: float | None = None
    """A limit besides the trip points: the lowest counts."""
    unknown_rate_per_s: float | None = None
    """The most requests a second while the temperature is unknown; `None`: as many as come."""

    def __post_init__(self) -> None:
        """Refuse limits outside what silicon survives, or in the wrong order."""
        rate = self.unknown_rate_per_s
        if rate is not None and not 1.0 <= rate <= 1e6:
            raise ValueError(f"unknown_rate_per_s must be 1 to 1000000, got {rate}")
        for name, value in (("warn_temp_c", self.warn_temp_c), ("max_temp_c", self.max_temp_c)):
            if value is not None and not 0.0 <= value <= 125.0:
                raise ValueError(f"{name} must be between 0 and 125 °C, got {value}")
        warn, most = self.warn_temp_c, self.max_temp_c
        if warn is not None and most is not None and warn >= most:
            raise ValueError(f"warn_temp_c ({warn}) must be below max_temp_c ({most})")


class EdgeDeviceSpec(Spec, frozen=True):
    """What a device is: `None` where nobody has said and nothing was measured."""

    device_id: str = ""
    """The device's name; empty means: the agent's."""
    device_class: str = ""
    """A label for devices of the same kind, such as `jetson-orin-nano-15w`."""
    compute_units: ComputeUnits = ComputeUnits()
    memory_mb: int | None = None
    storage_gb: int | None = None
    network_bandwidth_mbps: int | None = None
    power_budget_w: float | None = None
    """What the device may draw, not what it draws."""
    thermal_constraints: ThermalConstraints = ThermalConstraints()
    supported_frameworks: tuple[str, ...] = ()
    """Engines it may use, not datatypes; none named: all that are installed."""
    optimization_capabilities: tuple[ModelOptimizationLevel, ...] = ()
    """What jobs may do here; none named: everything."""

    def __post_init__(self) -> None:
        """Refuse sizes that are not positive and a name that is not one."""
        if self.device_id:
            check_id("device_id", self.device_id)
        for name in ("memory_mb", "storage_gb", "network_bandwidth_mbps", "power_budget_w"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be positive, got {value}")
