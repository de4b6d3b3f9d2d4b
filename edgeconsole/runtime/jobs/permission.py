"""What `device.toml` lets be done to a model. Pure."""

from __future__ import annotations

from edgeconsole.bundle import Manifest
from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.runtime.optimizer.source import check_source
from edgeconsole.specs import EdgeAgentConfig, ModelOptimizationLevel

_LEVEL = ModelOptimizationLevel


def check_order(config: EdgeAgentConfig, manifest: Manifest, level: ModelOptimizationLevel) -> None:
    """Raise `RequestError` if the device, or the model's entry, leaves the level out.

    `full_optimization` stands for all levels, and `none` changes nothing: it is always allowed.
    Raises `BundleError` for a bundle that is no source of variants.
    """
    check_source(manifest)
    where = "optimization_capabilities of the device"
    _check(level, config.device_spec.optimization_capabilities, where)
    for spec in config.model_specs:
        if spec.model_id == manifest.model:
            where = f"supported_optimizations of {spec.model_id!r}"
            _check(level, spec.supported_optimizations, where)


def _check(
    level: ModelOptimizationLevel, allowed: tuple[ModelOptimizationLevel, ...], where: str
) -> None:
    if level not in {*allowed, _LEVEL.NONE} and _LEVEL.FULL_OPTIMIZATION not in allowed:
        raise RequestError(
            ErrorCode.FORBIDDEN,
            f"{level} is not among the {where}: {', '.join(allowed) or 'none'}",
            hint="choose another level, or change device.toml",
        )
