"""Measuring the metric when packing, so that no device finds out that it cannot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from edgeconsole.bundle.metrics import Metric
from edgeconsole.errors import BundleError, PackError
from edgeconsole.protocol.tensors import Array, TensorSpec

if TYPE_CHECKING:
    from edgeconsole.packer.build import Built

_PROBE_ROWS: Final = 32


def check_evaluation(
    metric: Metric, built: Built, inputs: Mapping[str, Array], labels: Array
) -> None:
    """Check all labels against the first output, and measure the metric on some rows.

    Inputs and labels have shape `[rows, ...]`. Raises `PackError` with the metric's reason.
    """
    batch = built.inputs[0].shape[0]
    try:
        metric.check_labels(labels, _for_all(built.outputs[0], len(labels), batch))
        rows = _probe(labels, batch)
        outputs = _run(built, {name: array[rows] for name, array in inputs.items()}, batch)
        metric.measure(outputs, labels[rows])
    except BundleError as error:
        raise PackError(f"evaluation: {error.message}", hint=error.hint) from error


def _probe(labels: Array, batch: int) -> Array:
    """Return the first rows and those with the extreme labels, in whole batches.

    Metrics of two classes need both, and data are often sorted by class.
    """
    first = range(min(_PROBE_ROWS, len(labels)) if batch == -1 else 1)
    per_row = max(labels.size // len(labels), 1)
    extremes = (labels.argmin(), labels.argmax()) if labels.size else ()
    wanted = {*first, *(int(place) // per_row for place in extremes)}
    if batch == -1:
        return np.array(sorted(wanted))
    starts = np.array(sorted({row // batch * batch for row in wanted}))
    return (starts[:, None] + np.arange(batch)).reshape(-1)


def _run(built: Built, inputs: Mapping[str, Array], batch: int) -> dict[str, Array]:
    """Return the outputs of all rows; a model with a fixed batch runs once for each."""
    if batch == -1:
        return built.model.run(inputs)
    rows = len(next(iter(inputs.values())))
    runs = [
        built.model.run({name: array[start : start + batch] for name, array in inputs.items()})
        for start in range(0, rows, batch)
    ]
    return {
        name: np.concatenate([run[name] for run in runs]) if value.ndim else value
        for name, value in runs[0].items()
    }


def _for_all(output: TensorSpec, rows: int, batch: int) -> TensorSpec:
    """Return the description of the output of all rows."""
    if not output.shape:
        return output
    first = rows if batch == -1 else output.shape[0] * (rows // batch)
    return TensorSpec(output.name, output.datatype, (first, *output.shape[1:]))
