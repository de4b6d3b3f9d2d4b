"""`Metric`: a name, which way is better, and how it is measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from edgeconsole.bundle.metrics.scored import Scored
from edgeconsole.errors import BundleError
from edgeconsole.protocol.tensors import Array, Datatype, TensorSpec


@dataclass(frozen=True)
class Metric:
    """One way to judge a model by its first output."""

    name: str
    higher_is_better: bool
    is_share: bool
    """Its values are between 0 and 1; others have no upper bound."""
    needs: str
    """The data it is measured on, in words."""
    label_rule: Callable[[str, Array, TensorSpec], None]
    """Refuses labels that do not fit the output described; gets the metric's name."""
    scorer: Callable[[str, Array, Array], Scored]
    """Scores values that hold no NaN against labels that passed the rule; gets the name too."""
    classes: Callable[[TensorSpec], int | None]
    """How many classes such an output tells apart; `None` if none, or if that is not known."""

    def check_labels(self, labels: Array, output: TensorSpec) -> None:
        """Check labels `[rows, ...]` against the output they judge.

        The output's first dimension is the number of rows; -1 is a dimension not known. Raises
        `BundleError` for a datatype, shape, range or number of labels that does not fit.
        """
        try:
            self.label_rule(self.name, labels, output)
        except BundleError as error:
            hint = error.hint or f"give {self.needs}"
            raise BundleError(error.message, hint=hint) from None

    def prepare(self, outputs: Mapping[str, Array], labels: Array) -> Scored:
        """Score the rows of a model's outputs, given in the manifest's order.

        Raises `BundleError` as `check_labels` does, and if there is no output or it holds NaN.
        """
        name = next(iter(outputs), None)
        if name is None:
            raise BundleError(f"{self.name} needs an output", hint="the model gave none")
        values = outputs[name]
        try:
            output = TensorSpec(name, Datatype.of(values.dtype), values.shape)
        except ValueError as error:
            raise BundleError(
                f"{self.name} cannot be measured: output {name!r}: {error}", hint="give numbers"
            ) from None
        self.check_labels(labels, output)
        if output.datatype.is_float and bool(np.isnan(values).any()):
            raise BundleError(
                f"{self.name} cannot be measured: output {name!r} holds NaN",
                hint="find the rows on which the model computes no number",
            )
        return self.scorer(self.name, values, labels)

    def measure(self, outputs: Mapping[str, Array], labels: Array) -> float:
        """Return the metric of all rows; raises as `prepare` does."""
        return self.prepare(outputs, labels).value()
