"""Example inputs: bound to the forward parameters' names, and made into batches (needs torch)."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from edgeconsole.errors import PackError
from edgeconsole.protocol.tensors import Array, Datatype, TensorSpec


@dataclass(frozen=True)
class Examples:
    """Tensors for one forward call: positional ones first, then those given by keyword.

    `names` are the names of the model's inputs, in the order of `tensors`.
    """

    names: tuple[str, ...]
    tensors: tuple[torch.Tensor, ...]
    keywords: tuple[str, ...] = ()

    def arrays(self) -> dict[str, Array]:
        """Return copies as numpy arrays by input name."""
        pairs = zip(self.names, self.tensors, strict=True)
        return {name: tensor.numpy().copy() for name, tensor in pairs}

    def specs(self, *, dynamic: bool) -> tuple[TensorSpec, ...]:
        """Return the inputs' descriptions, with a free first dimension if `dynamic`."""
        found = []
        for name, array in self.arrays().items():
            shape = (-1, *array.shape[1:]) if dynamic else array.shape
            found.append(TensorSpec(name, Datatype.of(array.dtype), shape))
        return tuple(found)

    def batch(self, rows: int) -> Examples:
        """Return examples with `rows` rows; missing ones are variations of those there are."""
        return replace(self, tensors=tuple(_with_rows(tensor, rows) for tensor in self.tensors))


def bind_examples(module: torch.nn.Module, given: object) -> Examples:
    """Bind example inputs to the parameters of `module.forward`.

    `given` is one tensor, a sequence in forward order or a mapping by name; numpy arrays count as
    tensors. Inputs of a `*args` parameter are called `input_0`, `input_1` and so on. Raises
    `PackError` for what is not a tensor, holds NaN, or does not fit the signature.
    """
    if isinstance(given, Mapping):
        positional: tuple[object, ...] = ()
        keyword = {str(name): value for name, value in given.items()}
    elif isinstance(given, torch.Tensor | np.ndarray):
        positional, keyword = (given,), {}
    elif isinstance(given, Sequence) and not isinstance(given, str):
        positional, keyword = tuple(given), {}
    else:
        raise PackError(
            f"example_inputs is {type(given).__name__}",
            hint="give a tensor, a tuple of tensors in forward order, or a dict by name",
        )
    if not positional and not keyword:
        raise PackError("example_inputs is empty", hint="give the tensors of one forward call")
    signature = inspect.signature(module.forward)
    try:
        bound = signature.bind(*positional, **keyword)
    except TypeError as error:
        raise PackError(
            f"example_inputs do not fit forward{signature}: {error}",
            hint="give one tensor per parameter, in order",
        ) from None
    names = _names(signature, bound)
    values = (*bound.args, *bound.kwargs.values())
    tensors = tuple(_tensor(name, value) for name, value in zip(names, values, strict=True))
    return Examples(names, tensors, tuple(bound.kwargs))


def check_batched(examples: Examples) -> int:
    """Return the batch size that all inputs share; raises `PackError` if they do not."""
    hint = "give every input a first dimension for the batch, or use dynamic_batch=False"
    rows: dict[str, int] = {}
    for name, tensor in zip(examples.names, examples.tensors, strict=True):
        if tensor.ndim == 0:
            raise PackError(f"input {name!r} has no dimension for the batch", hint=hint)
        rows[name] = tensor.shape[0]
    if len(set(rows.values())) > 1:
        raise PackError(f"inputs differ in their first dimension: {rows}", hint=hint)
    batch = next(iter(rows.values()))
    if batch == 0:
        raise PackError("example_inputs have no rows", hint="give at least one row")
    return batch


def _names(signature: inspect.Signature, bound: inspect.BoundArguments) -> tuple[str, ...]:
    positional, keyword = [], []
    for name, value in bound.arguments.items():
        kind = signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            positional += [f"input_{index}" for index in range(len(value))]
        elif kind is inspect.Parameter.VAR_KEYWORD:
            keyword += list(value)
        elif kind is inspect.Parameter.KEYWORD_ONLY:
            keyword.append(name)
        else:
            positional.append(name)
    names = (*positional, *keyword)
    if len(set(names)) != len(names):
        raise PackError(f"the inputs' names {list(names)} are not all different")
    return names


def _tensor(name: str, value: object) -> torch.Tensor:
    if isinstance(value, np.ndarray):
        try:
            value = torch.from_numpy(np.array(value, order="C"))
        except TypeError as error:
            raise PackError(f"input {name!r}: {error}") from None
    if not isinstance(value, torch.Tensor):
        raise PackError(
            f"input {name!r} is {type(value).__name__}, not a tensor",
            hint="leave parameters with a default away, or wrap the module and fix the value there",
        )
    if value.layout != torch.strided or value.is_quantized or value.is_meta:
        raise PackError(f"input {name!r} is not a plain dense tensor")
    tensor = value.detach().cpu().clone(memory_format=torch.contiguous_format)
    if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
        raise PackError(f"input {name!r} holds NaN or infinite values", hint="give real values")
    try:
        Datatype.of(tensor.numpy().dtype)
    except (TypeError, ValueError):
        raise PackError(
            f"input {name!r} is {tensor.dtype}, which requests cannot carry",
            hint="take float32 (or another numpy type) and convert inside the module",
        ) from None
    return tensor


def _with_rows(tensor: torch.Tensor, rows: int) -> torch.Tensor:
    """Take the first rows, or add variations whose values stay in the range of the real ones.

    Rows must differ: equal ones would not show a model that mixes the rows of a batch.
    """
    made = [tensor[row : row + 1] for row in range(min(rows, tensor.shape[0]))]
    for number in range(len(made), rows):
        source = made[number % tensor.shape[0]]
        if tensor.is_floating_point():
            made.append(source * (1.0 - 0.05 * number))
        else:
            made.append(source.flatten().roll(number).reshape(source.shape))
    return torch.cat(made).contiguous()
