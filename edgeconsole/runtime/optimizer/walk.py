"""Following channels through a graph module: every tensor's axes, and what ties them; needs torch.

Source of the idea: DepGraph (Fang et al., "DepGraph: Towards Any Structural Pruning", CVPR 2023).
There, layers are grouped by rules between them; here every single channel is followed through every
operator, so that concatenation, splits and flattening need no special groups.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import torch
from torch.fx import GraphModule, Interpreter, Node

from edgeconsole.packer.reason import one_sentence
from edgeconsole.runtime.optimizer.build_words import BuildError
from edgeconsole.runtime.optimizer.channels import Axes, Axis, Channels
from edgeconsole.runtime.optimizer.trainable import attribute, operator_name

Shape = tuple[int, ...]
Rule = Callable[["Walk", Node, dict[str, Any]], Axes | list[Axes] | None]
"""Returns the axes of an operator's result (a list for several results), or `None` for "unknown"."""

OUTPUT_REASON: Final = "it is an output of the model"
NO_CHANNELS: Final = "it is tied to values that are no channels"
SPACE: Final = "a position in space or time is no channel"
PICKED: Final = "an operator picks channels by number"


class Walk:
    """One pass over a graph; afterwards `channels` knows which channels go together."""

    def __init__(
        self, module: GraphModule, examples: Sequence[torch.Tensor], rules: Mapping[str, Rule]
    ) -> None:
        """Follow the channels; `examples` are inputs of any valid shape, `rules` go by operator.

        Raises `BuildError` if the model does not run.
        """
        self.channels = Channels()
        self.module = module
        self.axes: dict[Node, Axes | list[Axes]] = {}
        self.weights: dict[int, Axes] = {}
        """Axes of the weights and buffers, by `id`."""
        self.scales: set[int] = set()
        """Weights of normalisations: they scale channels. By `id`."""
        shapes = _Shapes(module)
        try:
            with torch.no_grad():
                shapes.run(*examples)
        except Exception as error:  # any operator may fail
            raise BuildError(f"the model does not run: {one_sentence(error)}") from error
        self._shapes = shapes.found
        self._rules = rules
        for node in module.graph.nodes:
            self._visit(node)

    def shape(self, node: Any) -> Shape:
        """Return the shape of a node's tensor; `()` for what is no tensor."""
        found = self._shapes.get(node, ())
        return found if isinstance(found, tuple) else ()

    def shapes(self, node: Node) -> list[Shape]:
        """Return the shapes of a node that gives several tensors."""
        found = self._shapes.get(node, [])
        return found if isinstance(found, list) else []

    def of(self, node: Any) -> Axes:
        """Return the axes of one tensor."""
        found = self.axes.get(node, ()) if isinstance(node, Node) else ()
        return found if isinstance(found, tuple) else ()

    def broadcast(self, sources: Sequence[Any], out: Shape, *, before: int = 0) -> Axes:
        """Tie the axes of tensors that broadcast to `out`, and return those of the result.

        `before` dimensions at the end of each tensor are left aside; `out` does not hold them.
        """
        found: list[Axis] = []
        for number, size in enumerate(out):
            back = len(out) - number + before
            parts = [
                self.of(source)[-back]
                for source in sources
                if len(self.shape(source)) >= back and self.shape(source)[-back] == size > 1
            ]
            found.append(self.channels.tie(parts, NO_CHANNELS))
        return tuple(found)

    def weight(self, node: Node) -> torch.Tensor | None:
        """Return the weight or buffer a node reads, if it does."""
        value = attribute(self.module, str(node.target)) if node.op == "get_attr" else None
        return value if isinstance(value, torch.Tensor) else None

    def _visit(self, node: Node) -> None:
        match node.op:
            case "placeholder":
                self.axes[node] = (None,) * len(self.shape(node))
            case "get_attr":
                self._visit_weight(node)
            case "output":
                self._freeze_inputs(node, OUTPUT_REASON)
            case _:
                self._visit_call(node)

    def _visit_weight(self, node: Node) -> None:
        value = self.weight(node)
        if value is not None:
            if id(value) not in self.weights:
                fresh = tuple(self.channels.fresh(size) for size in value.shape)
                self.weights[id(value)] = fresh
            self.axes[node] = self.weights[id(value)]

    def _visit_call(self, node: Node) -> None:
        name = operator_name(node)
        rule = self._rules.get(name)
        found = rule(self, node, arguments(node)) if rule is not None else None
        if found is None or not self._fits(node, found):
            self._freeze_inputs(node, f"{name or node.target} is no operator to prune through")
            found = self._blank(node)
        self.axes[node] = found

    def _freeze_inputs(self, node: Node, reason: str) -> None:
        for source in node.all_input_nodes:
            found = self.axes.get(source, ())
            for axes in found if isinstance(found, list) else [found]:
                self.channels.freeze_all(axes, reason)

    def _blank(self, node: Node) -> Axes | list[Axes]:
        found = self._shapes.get(node, ())
        if isinstance(found, list):
            return [(None,) * len(shape) for shape in found]
        return (None,) * len(found)

    def _fits(self, node: Node, found: Axes | list[Axes]) -> bool:
        """Check a rule's answer against the shapes that were seen."""
        if isinstance(found, list):
            shapes = self.shapes(node)
            pairs = list(zip(shapes, found, strict=False)) if len(shapes) == len(found) else []
        else:
            pairs = [(self.shape(node), found)]
        return bool(pairs) and all(
            len(shape) == len(axes)
            and all(
                axis is None or len(axis) == size for size, axis in zip(shape, axes, strict=True)
            )
            for shape, axes in pairs
        )


class _Shapes(Interpreter):
    """Runs a module and notes the shape of every tensor."""

    def __init__(self, module: GraphModule) -> None:
        super().__init__(module)
        self.found: dict[Node, Shape | list[Shape]] = {}

    def run_node(self, n: Node) -> Any:
        """Run one node."""
        value = super().run_node(n)
        if isinstance(value, torch.Tensor):
            self.found[n] = tuple(value.shape)
        elif isinstance(value, tuple | list) and n.op != "output":
            self.found[n] = [
                tuple(part.shape) if isinstance(part, torch.Tensor) else () for part in value
            ]
        return value


def arguments(node: Node) -> dict[str, Any]:
    """Return an operator's arguments by name, those not given with their defaults."""
    if node.target is operator.getitem:
        return {"self": node.args[0], "index": node.args[1]}
    if not isinstance(node.target, torch._ops.OpOverload):  # noqa: SLF001 - has no public name
        return {}
    found: dict[str, Any] = {}
    for position, argument in enumerate(node.target._schema.arguments):  # noqa: SLF001
        if position < len(node.args):
            found[argument.name] = node.args[position]
        elif argument.name in node.kwargs:
            found[argument.name] = node.kwargs[argument.name]
        elif argument.has_default_value():
            found[argument.name] = argument.default_value
    return found
