"""A checked request as the ladder passes it on: to the primary, to another model, to nobody."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgeconsole.protocol.inference import Rung
from edgeconsole.protocol.tensors import Array
from edgeconsole.runtime.serving.batcher import Outcome, Pending


@dataclass(frozen=True, slots=True)
class Asked:
    """One request; times are monotonic seconds."""

    inputs: list[Array]
    output_names: tuple[str, ...]
    priority: int
    received_s: float
    deadline_s: float
    rows: int
    size_bytes: int
    shapes: tuple[tuple[int, ...], ...] | None
    cache: bool
    allow: Rung
    """The lowest rung that may answer."""

    def pending(self, finish: Callable[[Outcome], None]) -> Pending:
        """Return it as the primary's."""
        return Pending(
            inputs=self.inputs,
            output_names=self.output_names,
            priority=self.priority,
            received_s=self.received_s,
            deadline_s=self.deadline_s,
            finish=finish,
            rows=self.rows,
            size_bytes=self.size_bytes,
            shapes=self.shapes,
        )

    def lent(
        self,
        finish: Callable[[Outcome], None],
        now_s: float,
        *,
        order: tuple[int, ...] | None = None,
        priority: int | None = None,
        deadline_s: float | None = None,
    ) -> Pending:
        """Return it as another model's, or as a trial or a shadow: no client's request to that model.

        `order` is where the other model's inputs are among these; a lower `priority` and a
        `deadline_s` of its own are for what nobody waits for.
        """
        inputs = self.inputs if order is None else [self.inputs[index] for index in order]
        shapes = self.shapes
        if shapes is not None and order is not None:
            shapes = tuple(shapes[index] for index in order)
        return Pending(
            inputs=inputs,
            output_names=self.output_names,
            priority=self.priority if priority is None else priority,
            received_s=now_s,
            deadline_s=self.deadline_s if deadline_s is None else deadline_s,
            finish=finish,
            rows=self.rows,
            size_bytes=self.size_bytes,
            shapes=shapes,
            counted=False,
        )
