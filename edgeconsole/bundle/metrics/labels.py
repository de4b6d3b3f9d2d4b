"""Checks of labels that several metrics share; each raises `BundleError`."""

from __future__ import annotations

from edgeconsole.errors import BundleError
from edgeconsole.protocol.tensors import Array, TensorSpec


def check_integers(name: str, labels: Array) -> None:
    """Refuse labels that are neither integers nor booleans."""
    if labels.dtype.kind not in "iub":
        raise BundleError(
            f"{name} needs integer labels, not {labels.dtype}", hint="use labels.astype('int64')"
        )


def check_shape(name: str, labels: Array, shape: tuple[int, ...]) -> None:
    """Refuse labels of another shape (-1: any number), without rows or without values."""
    same = len(shape) == labels.ndim and all(
        want in {-1, have} for have, want in zip(labels.shape, shape, strict=True)
    )
    if not same or not labels.ndim or not labels.size:
        raise BundleError(
            f"{name} needs labels of shape {list(shape)} with at least one value, "
            f"not {list(labels.shape)}"
        )


def check_column(name: str, labels: Array, output: TensorSpec) -> None:
    """Refuse labels that have neither the output's shape nor `[rows]` for an output `[rows, 1]`.

    No other shapes are made to fit: `[rows]` minus `[rows, 1]` would be `[rows, rows]`.
    """
    squeezed = len(output.shape) == 2 and output.shape[1] == 1 and labels.ndim == 1
    check_shape(name, labels, output.shape[:1] if squeezed else output.shape)


def check_classes(name: str, labels: Array, classes: int) -> None:
    """Refuse labels, at least one, that are not classes numbered from 0."""
    if labels.min() < 0 or labels.max() >= classes:
        raise BundleError(
            f"{name} cannot be measured: labels run from {int(labels.min())} to "
            f"{int(labels.max())}, classes are numbered 0 to {classes - 1}"
        )


def is_column(output: TensorSpec) -> bool:
    """Say whether an output has one value per row: `[rows]` or `[rows, 1]`."""
    return len(output.shape) == 1 or (len(output.shape) == 2 and output.shape[1] == 1)


def check_two_classes(name: str, labels: Array, output: TensorSpec, *, both: bool) -> None:
    """Refuse all but labels 0 and 1 for an output with one value per row.

    There must be a 1, and with `both` also a 0: without, the metric is not defined.
    """
    check_integers(name, labels)
    if not is_column(output):
        raise BundleError(
            f"{name} needs one score per row, the shape of output {output.name!r} is "
            f"{list(output.shape)}",
            hint="let the first output be the score of class 1, [rows] or [rows, 1]",
        )
    check_column(name, labels, output)
    check_classes(name, labels, 2)
    if not labels.any():
        raise BundleError(f"{name} needs rows of class 1, all labels are 0")
    if both and labels.all():
        raise BundleError(f"{name} needs rows of both classes, all labels are 1")
