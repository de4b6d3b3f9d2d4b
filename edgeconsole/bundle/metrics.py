"""The metrics a bundle can name, measured on outputs and labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from edgeconsole.errors import BundleError
from edgeconsole.protocol.tensors import Array

METRICS: Final = ("accuracy",)


def check_metric(name: str) -> str:
    """Return the name of a known metric; raises `BundleError` otherwise."""
    if name not in METRICS:
        raise BundleError(f"metric {name!r} is not known", hint=f"known metrics: {list(METRICS)}")
    return name


def measure_metric(name: str, outputs: Mapping[str, Array], labels: Array) -> float:
    """Measure one metric of a model's outputs, given in the manifest's order.

    `accuracy`: the first output decides; the largest score along its last axis, or the value
    itself if it is an integer, must equal the label. Labels have that output's shape, without the
    axis of scores. Raises `BundleError` for an unknown metric and for data that do not fit.
    """
    check_metric(name)
    return _accuracy(outputs, labels)


def _accuracy(outputs: Mapping[str, Array], labels: Array) -> float:
    first = next(iter(outputs), None)
    if first is None:
        raise BundleError("accuracy needs an output", hint="the model gave none")
    scores = outputs[first]
    if labels.dtype.kind not in "iub":
        raise BundleError(
            f"accuracy needs integer labels, not {labels.dtype}", hint="use labels.astype('int64')"
        )
    if scores.dtype.kind == "f":
        if scores.ndim == 0 or scores.shape[-1] < 2:
            raise BundleError(
                f"accuracy needs two or more scores in the last axis of output {first!r}, "
                f"its shape is {list(scores.shape)}"
            )
        if np.isnan(scores).any():
            raise BundleError(f"accuracy cannot be measured: output {first!r} holds NaN")
        scores = scores.argmax(axis=-1)
    if scores.shape != labels.shape or not labels.size:
        raise BundleError(
            f"accuracy needs labels of shape {list(scores.shape)} with at least one value, "
            f"not {list(labels.shape)}"
        )
    return float(np.mean(scores == labels))
