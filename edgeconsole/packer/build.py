"""The way from a module to proven file contents, one step after another (needs torch)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch

from edgeconsole.bundle.writer import Contents
from edgeconsole.errors import PackError
from edgeconsole.packer.check import OnnxModel
from edgeconsole.packer.examples import bind_examples, check_batched
from edgeconsole.packer.export import export_program, flatten_module, to_onnx, to_pt2
from edgeconsole.packer.prove import (
    check_rows_independent,
    check_same,
    describe_outputs,
    run_eager,
)
from edgeconsole.protocol.tensors import TensorSpec

GOLDEN_ROWS: Final = 2
"""Rows of the golden inputs of a model with a free batch dimension.

Two, because `torch.export` takes a dimension of one for a constant.
"""


@dataclass(frozen=True)
class Built:
    """A packed model before its data sets: files, descriptions, and the loaded ONNX model."""

    contents: Contents
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    model: OnnxModel


def build(module: object, example_inputs: object, *, dynamic: bool, include_pt2: bool) -> Built:
    """Export a module and prove the export; raises `PackError`."""
    if not isinstance(module, torch.nn.Module):
        raise PackError(
            f"cannot pack {type(module).__name__}", hint="give an instance of torch.nn.Module"
        )
    examples = bind_examples(module, example_inputs)
    flat = flatten_module(module, examples.keywords)
    proofs = [examples]
    if dynamic:
        check_batched(examples)
        examples = examples.batch(GOLDEN_ROWS)
        proofs = [examples.batch(rows) for rows in (1, GOLDEN_ROWS, 3)]
    golden = run_eager(flat, examples)
    if dynamic:
        check_rows_independent(flat, examples)
    program = export_program(flat, examples, dynamic=dynamic)
    onnx = to_onnx(program, examples.names, tuple(golden))
    model = OnnxModel(onnx)
    for proof in proofs:
        check_same(flat, model, program if include_pt2 else None, proof)
    contents = Contents(
        onnx=onnx,
        golden_inputs=examples.arrays(),
        golden_outputs=golden,
        pt2=to_pt2(program) if include_pt2 else None,
    )
    inputs = examples.specs(dynamic=dynamic)
    return Built(contents, inputs, describe_outputs(program, tuple(golden), dynamic=dynamic), model)
