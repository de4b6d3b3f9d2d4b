"""The engines that can serve a model: their names, where they come from, whether they are here.

Imports none of them: the agent's supervisor asks as well.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import Final, Literal

import msgspec

from edgeconsole.errors import BackendError


class Engine(StrEnum):
    """What runs a model file in a worker."""

    ONNXRUNTIME = "onnxruntime"
    """Every device has it; models are packed for it."""
    OPENVINO = "openvino"
    LITERT = "litert"

    @property
    def package(self) -> str:
        """Return the name of the distribution it comes in."""
        return _PACKAGES[self]


_PACKAGES: Final = {
    Engine.ONNXRUNTIME: "onnxruntime",
    Engine.OPENVINO: "openvino",
    Engine.LITERT: "ai-edge-litert",
}


class Precision(StrEnum):
    """What an engine computes in where a model's numbers are floats of 32 bits."""

    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


class Execution(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a model file is to be run: what was measured, judged and proven."""

    engine: Engine = Engine.ONNXRUNTIME
    precision: Precision = Precision.FP32
    max_batch: Literal[1] | None = None
    """The rows the file takes at once, where it was made for one; `None`: any number."""


PLAIN: Final = Execution()
"""As models are packed."""


def installed_version(package: str) -> str:
    """Return the version of an installed distribution; empty if it is not installed."""
    # A worker, which never asks, starts without it.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def installed_engines() -> dict[str, str]:
    """Return the versions of the engines that are installed, by name."""
    found = {engine.value: installed_version(engine.package) for engine in Engine}
    return {engine: version for engine, version in found.items() if version}


def install_hint(engine: Engine) -> str:
    """Return what to do where an engine is missing."""
    return f"pip install 'edgeconsole[{engine}]'"


def check_engine(execution: Execution, what: str, allowed: Collection[str] = ()) -> None:
    """Raise `BackendError` if this device cannot run `what`: it lacks the engine, or leaves it out.

    `allowed` are the engines that the device's file allows; empty: all.
    """
    engine = execution.engine
    if allowed and engine not in allowed:
        raise BackendError(
            f"{what} needs {engine}, which the device's supported_frameworks leave out",
            hint=f"add {engine.value!r} to supported_frameworks in device.toml",
        )
    if not installed_version(engine.package):
        raise BackendError(
            f"{what} needs {engine}, which is not installed on the device",
            hint=f"{install_hint(engine)} on the device",
        )
