"""What a variant is: what was done to the model, in which form, for which engine. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from edgeconsole.engines import Execution, Precision

FP32: Final = "fp32"
"""The name of the model as it was packed."""


class Form(StrEnum):
    """Which form of a model a port runs."""

    FLOAT = "float"
    READY = "int8"
    """The static int8 model that was made for ONNX Runtime."""
    DYNAMIC = "int8-dynamic"
    """One that is made from the float model for the port's engine; likewise the next."""
    STATIC = "int8-static"


class Technique(StrEnum):
    """What is done to a model; the column `technique` of the report."""

    FLOAT = "float"
    WEIGHTS = "weights int8"
    DYNAMIC = "dynamic int8"
    STATIC = "static int8"
    MIXED = "mixed int8"
    PRUNED = "pruned"
    DISTILLED = "distilled"
    BF16 = "bf16"
    FP16 = "fp16"


@dataclass(frozen=True, slots=True)
class Port:
    """A way to run in another engine, or in another precision, what is built for ONNX Runtime."""

    execution: Execution
    form: Form = Form.FLOAT

    def name(self, built: str) -> str:
        """Return the name of a built float model, or of a quantised one, run this way."""
        engine, precision = self.execution.engine, self.execution.precision
        if precision is not Precision.FP32:
            built = precision if built == FP32 else f"{built}-{precision}"
        if self.form in (Form.DYNAMIC, Form.STATIC):
            built = self.form if built == FP32 else f"{built}-{self.form}"
        return f"{built}-{engine}"

    @property
    def said(self) -> str:
        """Return what it does, for people."""
        engine, precision = self.execution.engine, self.execution.precision
        if self.form is Form.READY:
            return f"the best static int8 model, in {engine}"
        what = precision if self.form is Form.FLOAT else self.form
        return f"{what} in {engine}"

    def technique(self, built: str) -> str:
        """Return what it is called in the report, given what was done before."""
        steps = [] if built == Technique.FLOAT else [built]
        if self.execution.precision is not Precision.FP32:
            steps.append(self.execution.precision.value)
        if self.form is Form.DYNAMIC:
            steps.append(Technique.DYNAMIC)
        if self.form is Form.STATIC:
            steps.append(Technique.STATIC)
        return ", ".join(steps) or Technique.FLOAT
