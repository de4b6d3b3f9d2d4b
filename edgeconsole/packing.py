"""`pack_model`: from a `torch.nn.Module` to a bundle that devices can serve.

Importing this module does not import torch; calling `pack_model` does.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy.typing as npt

from edgeconsole.bundle.folder import Bundle
from edgeconsole.bundle.manifest import Manifest, Task
from edgeconsole.bundle.metrics import METRICS
from edgeconsole.bundle.writer import Contents, check_target, write_bundle
from edgeconsole.errors import BundleError, PackError
from edgeconsole.packer.data import check_labels, check_rows, split_pair
from edgeconsole.packer.judge import check_evaluation
from edgeconsole.packer.options import Options, check_options
from edgeconsole.packer.quiet import quiet
from edgeconsole.protocol.tensors import TensorSpec

if TYPE_CHECKING:
    import torch

    from edgeconsole.packer.build import Built

    Example = torch.Tensor | npt.NDArray[Any]
    ExampleInputs = Example | Sequence[Example] | Mapping[str, Example]
    Rows = Mapping[str, npt.ArrayLike | torch.Tensor]

TORCH_HINT: Final = "pip install 'edgeconsole[torch]' -c constraints.txt"


def pack_model(
    module: torch.nn.Module,
    example_inputs: ExampleInputs,
    path: Path | str,
    *,
    name: str,
    version: int | str,
    task: Task | str,
    calibration: Rows | None = None,
    evaluation: tuple[Rows, npt.ArrayLike] | None = None,
    labels: Sequence[str] | None = None,
    metric: str = "accuracy",
    dynamic_batch: bool = True,
    variant: str = "fp32",
    include_pt2: bool = True,
    static_answer: Mapping[str, Any] | None = None,
) -> Manifest:
    """Export a module, prove that the export is the module, and write the bundle.

    The module is copied, put in evaluation mode and moved to the CPU; the caller's is not
    touched. Inputs are named after the parameters of `forward`, outputs after dict keys or
    fields, else `output` or `output_0`, `output_1`, ...

    Args:
        module: any module that `torch.export` can export.
        example_inputs: the tensors of one forward call: one, a tuple in forward order, or a dict
            by parameter name. One row is enough. Values should be real: they become golden.
        path: the folder to write; a bundle that is there is replaced.
        name, version, variant: how commands and clients name the bundle.
        task: what the answers mean (`Task`).
        calibration: arrays `[rows, ...]` by input name, for quantisation. Floats of another width
            are taken if no value changes; NaN and infinities are refused.
        evaluation: such arrays, and labels `[rows, ...]` that `metric` is measured against.
        labels: the classes' names, in order.
        metric: what later variants are judged by: a name in `edgeconsole.bundle.metrics.METRICS`,
            measured on the first output.
        dynamic_batch: make the first dimension of every input and output free. `False` keeps the
            example's shapes; data sets then need rows in multiples of the example's.
        include_pt2: also store `model.pt2`, what the optimiser starts from.
        static_answer: by output name, what a device answers when no model can: one number for all
            values, or one row. Nothing is invented: without it, such requests are refused.

    Raises:
        PackError: says what is wrong, where, and what to do. `path` is then as it was.
    """
    options = check_options(
        name=name, version=version, task=task, variant=variant, metric=metric, labels=labels
    )
    try:
        check_target(path)
        built = _build(module, example_inputs, dynamic=dynamic_batch, include_pt2=include_pt2)
        _check_classes(options, built.outputs[0])
        contents = _with_data(built, calibration, evaluation)
        if contents.evaluation is not None:
            check_evaluation(METRICS[options.metric], built, *contents.evaluation)
        return _write(path, built, contents, options, static_answer).manifest
    except PackError:
        raise
    except BundleError as error:
        raise PackError(error.message, hint=error.hint) from error


def load_source(source: str) -> tuple[torch.nn.Module, ExampleInputs | None]:
    """Return the module that `package.module:name` or a `.pt2` file names, and its examples.

    Runs the author's code. Raises `PackError`, also if torch is missing.
    """
    _need_torch()
    from edgeconsole.packer import source as sources

    return sources.load_source(source)


def _need_torch() -> None:
    try:
        with quiet():
            for needed in ("torch", "onnx", "onnxscript"):
                importlib.import_module(needed)
    except ImportError as error:
        raise PackError(
            f"packing needs torch, onnx and onnxscript: {error}", hint=TORCH_HINT
        ) from error


def _build(
    module: torch.nn.Module, example_inputs: ExampleInputs, *, dynamic: bool, include_pt2: bool
) -> Built:
    _need_torch()
    from edgeconsole.packer.build import build

    return build(module, example_inputs, dynamic=dynamic, include_pt2=include_pt2)


def _check_classes(options: Options, first: TensorSpec) -> None:
    """Refuse another number of class names than the first output tells apart."""
    if options.task is not Task.CLASSIFICATION or options.labels is None:
        return
    classes = METRICS[options.metric].classes(first)
    if classes not in {None, len(options.labels)}:
        raise PackError(
            f"there are {len(options.labels)} labels, output {first.name!r} scores "
            f"{classes} classes (its shape is {list(first.shape)})",
            hint="give one label per class, in the model's order",
        )


def _with_data(
    built: Built,
    calibration: Rows | None,
    evaluation: tuple[Rows, npt.ArrayLike] | None,
) -> Contents:
    contents = built.contents
    if calibration is not None:
        rows, _ = check_rows(calibration, built.inputs, "calibration")
        contents = replace(contents, calibration=rows)
    if evaluation is not None:
        given, answers = split_pair(evaluation)
        rows, count = check_rows(given, built.inputs, "evaluation")
        contents = replace(contents, evaluation=(rows, check_labels(answers, count)))
    return contents


def _write(
    path: Path | str,
    built: Built,
    contents: Contents,
    options: Options,
    static_answer: Mapping[str, Any] | None,
) -> Bundle:
    return write_bundle(
        path,
        contents,
        model=options.model,
        version=options.version,
        task=options.task,
        variant=options.variant,
        labels=options.labels,
        metric=options.metric,
        inputs=built.inputs,
        outputs=built.outputs,
        static_answer=static_answer,
    )
