"""Exported programs as plain graph modules that can be run, trained and cut; needs torch."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from functools import reduce
from typing import Any, Final

import torch
from torch.fx import Graph, GraphModule, Node

from edgeconsole.packer.quiet import quiet
from edgeconsole.packer.reason import one_sentence
from edgeconsole.runtime.optimizer.build_words import BuildError

_CHECKS: Final = ("_assert", "sym_constrain", "_guards")
_NORM_TRAINING: Final = 5
"""Where `aten.batch_norm` takes whether it trains; its momentum follows."""


def graph_module(program: torch.export.ExportedProgram) -> GraphModule:
    """Return a program as a graph module: tensors in by position, a tuple of tensors out.

    The weights are the program's own. Checks of input shapes are left out, and so are weights that
    nothing uses.
    """
    with quiet():
        source = program.module(check_guards=False)
    graph = Graph()
    known: dict[Node, Node] = {}
    for node in source.graph.nodes:
        if node.op == "output":
            leaves = torch.utils._pytree.tree_leaves(node.args)  # noqa: SLF001 - has no public name
            graph.output(tuple(known[leaf] for leaf in leaves if isinstance(leaf, Node)))
        elif node.op == "placeholder" or node.users or not _is_idle(node):
            known[node] = graph.node_copy(node, known.__getitem__)
    return GraphModule(source, graph)


def copy_module(module: GraphModule, tensors: dict[str, torch.Tensor] | None = None) -> GraphModule:
    """Return a copy with its own graph and weights; `tensors` take the place of those they name."""
    graph = Graph()
    known: dict[Node, Node] = {}
    graph.output(graph.graph_copy(module.graph, known))
    values: dict[str, Any] = {}
    copies: dict[int, torch.Tensor] = {}
    for name in attribute_names(module):
        value = attribute(module, name)
        if isinstance(value, torch.Tensor):
            if id(value) not in copies:  # weights may be tied
                data = (tensors or {}).get(name, value).detach().clone()
                is_weight = isinstance(value, torch.nn.Parameter)
                copies[id(value)] = torch.nn.Parameter(data, False) if is_weight else data
            value = copies[id(value)]
        values[name] = value
    return GraphModule(values, graph)


def training_twin(module: GraphModule) -> GraphModule:
    """Return a module of the same weights whose batch norms use each batch's statistics.

    After a run the running statistics are those of its batch.
    """
    graph = Graph()
    graph.output(graph.graph_copy(module.graph, {}))
    for node in batch_norms(graph):
        args = list(node.args)
        args[_NORM_TRAINING : _NORM_TRAINING + 2] = [True, 1.0]
        node.args = tuple(args)
    return GraphModule(module, graph)


def batch_norms(graph: Graph) -> Iterator[Node]:
    """Yield the batch norms of a graph that have running statistics."""
    for node in graph.nodes:
        if operator_name(node) == "batch_norm" and all(
            isinstance(source, Node) for source in node.args[3:_NORM_TRAINING]
        ):
            yield node


def attribute_names(module: GraphModule) -> list[str]:
    """Return the names of the weights, buffers and inner modules that the graph uses, in order."""
    return list(
        dict.fromkeys(str(node.target) for node in module.graph.nodes if node.op == "get_attr")
    )


def attribute(module: torch.nn.Module, name: str) -> Any:
    """Return what a dotted name refers to."""
    return reduce(getattr, name.split("."), module)


def weight_bytes(module: GraphModule) -> int:
    """Return the size of all weights and buffers the graph uses, tied ones once."""
    tensors = {id(value): value for value in _tensors(module)}
    return sum(value.numel() * value.element_size() for value in tensors.values())


def weight_count(module: GraphModule) -> int:
    """Return the number of parameters, tied ones once."""
    found = {id(value): value for value in _tensors(module)}
    return sum(value.numel() for value in found.values() if isinstance(value, torch.nn.Parameter))


def operator_name(node: Node) -> str:
    """Return an aten operator's name without overload and the mark of in-place ones, else ""."""
    if node.op != "call_function" or not isinstance(node.target, torch._ops.OpOverload):  # noqa: SLF001
        return "getitem" if node.target is operator.getitem else ""
    namespace, _, name = node.target._schema.name.partition("::")  # noqa: SLF001
    return name.removesuffix("_") if namespace == "aten" else ""


def run_rows(module: GraphModule, rows: list[torch.Tensor], batch: int) -> list[torch.Tensor]:
    """Run a module on all rows, `batch` at a time, and return its outputs for all of them.

    Rows that do not fill a batch are run too. Raises `BuildError` if the model fails.
    """
    starts = range(0, rows[0].shape[0], batch)
    try:
        with torch.no_grad():
            parts = [module(*take_rows(rows, start, batch)) for start in starts]
    except Exception as error:  # any operator may fail
        raise BuildError(f"the model fails on calibration data: {one_sentence(error)}") from error
    return [torch.cat(list(part)) for part in zip(*parts, strict=True)]


def take_rows(rows: list[torch.Tensor], start: int, count: int) -> list[torch.Tensor]:
    """Return copies of some rows, because a model may write into its inputs."""
    return [row[start : start + count].clone() for row in rows]


def _tensors(module: GraphModule) -> Iterator[torch.Tensor]:
    for name in attribute_names(module):
        value = attribute(module, name)
        if isinstance(value, torch.Tensor):
            yield value


def _is_idle(node: Node) -> bool:
    """Say whether an unused node does nothing but read a weight or check a shape."""
    return node.op == "get_attr" or str(node.target).removeprefix("aten.").startswith(_CHECKS)
