"""From a module to an exported program and an ONNX file (needs torch)."""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Iterator
from typing import Final

import torch

from edgeconsole.errors import PackError
from edgeconsole.packer.examples import Examples
from edgeconsole.packer.graph import clean_graph
from edgeconsole.packer.outputs import Flat
from edgeconsole.packer.quiet import quiet
from edgeconsole.packer.reason import one_sentence

OPSET: Final = 20
"""The ONNX operator set of every packed model; ONNX Runtime 1.23 and its peers know it."""

Program = torch.export.ExportedProgram


def flatten_module(module: object, keywords: tuple[str, ...]) -> Flat:
    """Return an evaluation copy on the CPU that takes and returns flat tuples.

    The caller's module is not touched. Raises `PackError` for what is not an exportable module.
    """
    if not isinstance(module, torch.nn.Module) or isinstance(module, torch.jit.ScriptModule):
        raise PackError(
            f"cannot pack {type(module).__name__}", hint="give a torch.nn.Module (not TorchScript)"
        )
    try:
        with quiet():
            own = copy.deepcopy(module)
    except Exception as error:  # a module's own copy code may raise anything
        raise PackError(
            f"the module cannot be copied: {one_sentence(error)}",
            hint="remove cached tensors and open handles from the module's attributes",
        ) from error
    flat = Flat(own.cpu(), keywords).eval()
    return flat.requires_grad_(False)


def export_program(flat: Flat, examples: Examples, *, dynamic: bool) -> Program:
    """Export the flat module, with a free batch dimension if `dynamic`; raises `PackError`."""
    try:
        return _export(flat, examples, dynamic=dynamic)
    except Exception as error:  # tracing runs the module's own code
        reason = one_sentence(error)
        if dynamic and _exports_fixed(flat, examples):
            raise PackError(
                f"the model cannot be exported with a free batch dimension: {reason}",
                hint="make it independent of the batch size, or use dynamic_batch=False "
                "(--static-batch)",
            ) from error
        raise PackError(
            f"torch.export cannot export the model: {reason}",
            hint="data-dependent Python control flow is the usual cause",
        ) from error


def to_onnx(program: Program, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> bytes:
    """Convert an exported program to one ONNX file of standard operators; raises `PackError`."""
    try:
        with quiet():
            converted = torch.onnx.export(
                program,
                (),
                None,
                dynamo=True,
                input_names=list(inputs),
                output_names=list(outputs),
                opset_version=OPSET,
                external_data=False,
                verbose=False,
            )
    except Exception as error:  # the converter raises many types
        raise PackError(
            f"the model cannot be converted to ONNX: {one_sentence(error)}",
            hint="replace the operator it names",
        ) from error
    if converted is None:
        raise PackError("the ONNX exporter returned nothing")
    return clean_graph(converted.model_proto)


def to_pt2(program: Program) -> bytes:
    """Serialise an exported program without the source lines of the machine it came from."""
    program = copy.copy(program)
    for module in program.graph_module.modules():
        for node in getattr(getattr(module, "graph", None), "nodes", ()):
            node.meta.pop("stack_trace", None)
    buffer = io.BytesIO()
    with quiet():
        torch.export.save(program, buffer)
    return buffer.getvalue()


@contextlib.contextmanager
def plain_attention() -> Iterator[None]:
    """Turn off the fused attention that `torch.nn` uses in evaluation; it cannot be exported."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _export(flat: Flat, examples: Examples, *, dynamic: bool) -> Program:
    shapes = None
    if dynamic:
        batch = torch.export.Dim("batch", min=1)
        shapes = (tuple({0: batch} for _ in examples.tensors),)
    with quiet(), plain_attention(), torch.no_grad():
        return torch.export.export(flat, examples.tensors, dynamic_shapes=shapes)


def _exports_fixed(flat: Flat, examples: Examples) -> bool:
    try:
        _export(flat, examples, dynamic=False)
    except Exception:  # noqa: BLE001 - only whether it works matters
        return False
    return True
