"""Proof that a packed model is the module: same values at every batch size (needs torch)."""

from __future__ import annotations

import torch

from edgeconsole.bundle.selfcheck import compare_outputs
from edgeconsole.errors import BundleError, PackError
from edgeconsole.packer.check import OnnxModel
from edgeconsole.packer.examples import Examples
from edgeconsole.packer.export import Program, plain_attention
from edgeconsole.packer.outputs import Flat
from edgeconsole.packer.quiet import quiet
from edgeconsole.packer.reason import one_sentence
from edgeconsole.protocol.tensors import Array, Datatype, TensorSpec, has_non_finite

_FIXED = "use dynamic_batch=False (--static-batch)"


def run_eager(flat: Flat, examples: Examples) -> dict[str, Array]:
    """Run the module itself and return its outputs by name.

    Raises `PackError` if it fails, is random, or gives NaN, infinity or a type requests cannot carry.
    """
    first, second = (_call(flat, examples) for _ in range(2))
    for name, array in first.items():
        if has_non_finite(array):
            raise PackError(
                f"output {name!r} holds NaN or infinity on the example inputs",
                hint="check the weights and the example values; an agent refuses such answers",
            )
    reason = compare_outputs(first, second)
    if reason is not None:
        raise PackError(
            f"the model gives other values when it runs again: {reason}",
            hint="remove randomness and state from forward",
        )
    return first


def check_rows_independent(flat: Flat, examples: Examples) -> None:
    """Check that a batch is a stack of independent rows, first dimension in and out.

    The agent batches requests of different clients. Raises `PackError` for a model that would
    answer one client with another's rows.
    """
    three, one = run_eager(flat, examples.batch(3)), run_eager(flat, examples.batch(1))
    for name, array in three.items():
        alone = one[name]
        if array.shape[:1] != (3,) or alone.shape != (1, *array.shape[1:]):
            raise PackError(
                f"output {name!r} has shape {list(array.shape)} for 3 rows and "
                f"{list(alone.shape)} for 1, so its first dimension is not the batch",
                hint=f"return it with the batch first, or {_FIXED}",
            )
    reason = compare_outputs(one, {name: array[:1] for name, array in three.items()})
    if reason is not None:
        raise PackError(
            f"the rows of a batch influence each other: {reason}",
            hint=f"treat every row by itself, or {_FIXED}",
        )


def describe_outputs(
    program: Program, names: tuple[str, ...], *, dynamic: bool
) -> tuple[TensorSpec, ...]:
    """Return the outputs' descriptions, a dimension that can vary as `-1`; raises `PackError`."""
    leaves: tuple[torch.fx.Node, ...] = program.graph.output_node().args[0]
    found = []
    for name, node in zip(names, leaves, strict=True):
        value: torch.Tensor = node.meta["val"]
        dims: tuple[object, ...] = tuple(value.shape)  # an int, or a torch.SymInt
        shape = tuple(dim if isinstance(dim, int) else -1 for dim in dims)
        datatype = Datatype.of(torch.empty(0, dtype=value.dtype).numpy().dtype)
        spec = TensorSpec(name, datatype, shape)
        if dynamic and (not spec.is_batched or -1 in shape[1:]):
            raise PackError(
                f"output {name!r} would have shape {list(shape)}, so only its first dimension "
                "must vary with the batch",
                hint=f"return fixed dimensions after the first, or {_FIXED}",
            )
        found.append(spec)
    return tuple(found)


def check_same(flat: Flat, model: OnnxModel, program: Program | None, examples: Examples) -> None:
    """Check that the ONNX file and the exported program give the module's values.

    Raises `PackError` with the worst error.
    """
    if set(model.inputs) != set(examples.names):
        unused = sorted(set(examples.names) - set(model.inputs))
        raise PackError(f"the exported model has no inputs {unused}", hint="remove them")
    expected = run_eager(flat, examples)
    rows = examples.tensors[0].shape[0] if examples.tensors[0].ndim else 0
    try:
        got = model.run(examples.arrays())
    except BundleError as error:
        raise PackError(f"with {rows} rows, {error.message}") from error
    _refuse("the ONNX model", compare_outputs(expected, got), rows)
    if program is not None:
        with torch.no_grad():
            values = program.module()(*examples.tensors)
        again = {name: value.numpy() for name, value in zip(expected, values, strict=True)}
        _refuse("the exported program", compare_outputs(expected, again), rows)


def _refuse(what: str, reason: str | None, rows: int) -> None:
    if reason is not None:
        raise PackError(
            f"{what} is not the module: with {rows} rows, {reason}",
            hint="the exporter mistranslated an operator; replace it or report it",
        )


def _call(flat: Flat, examples: Examples) -> dict[str, Array]:
    try:
        with quiet(), plain_attention(), torch.no_grad():
            leaves = flat.named(*(tensor.clone() for tensor in examples.tensors))
    except PackError:
        raise
    except Exception as error:  # the module's own code may raise anything
        raise PackError(
            f"the model fails on the example inputs: {one_sentence(error)}",
            hint="check the shapes and types of the example inputs",
        ) from error
    found = {}
    for name, tensor in leaves:
        try:
            array = tensor.detach().cpu().contiguous().numpy().copy()
            Datatype.of(array.dtype)
        except (TypeError, ValueError, RuntimeError):
            raise PackError(
                f"output {name!r} is {tensor.dtype}, which answers cannot carry",
                hint="convert it in forward, for example with .float()",
            ) from None
        found[name] = array
    return found
