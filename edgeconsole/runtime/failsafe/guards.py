"""Output guards: whether what a model said can be an answer at all.

The worker has checked datatype, shape, NaN and infinity. Here are the declared range, looked at in
every answer of a model that declares one, and collapse, looked at in samples until there is one: the same answer, or
one that sits at the ends of its range, to inputs that differ.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Final

import numpy as np

from edgeconsole.protocol.tensors import Array
from edgeconsole.specs import FailsafeSpec

SAMPLE_EVERY_S: Final = 0.1
"""Collapse is looked for at most so often: a hash of inputs and outputs costs time."""

Outputs = Sequence[tuple[str, Array]]


class OutputGuard:
    """One model's guard; its only state is about collapse."""

    def __init__(self, spec: FailsafeSpec) -> None:
        self._ranges = dict(spec.output_range)
        self._collapse_after = spec.collapse_after
        self._sampled_s = float("-inf")
        self._inputs = 0
        self._answer = 0
        self._same = 0
        self._saturated = 0

    @property
    def samples_in_a_row(self) -> int:
        """Return how many samples in a row spoke for collapse."""
        return max(self._same, self._saturated)

    def check(self, inputs: Sequence[Array], outputs: Outputs, now_s: float) -> str:
        """Return why outputs are no answer; empty if they may be one."""
        if self._ranges:
            reason = self._out_of_range(outputs)
            if reason:
                return reason
        # Once it has collapsed every answer counts: good ones in between would hide it from the breaker.
        due = now_s - self._sampled_s >= SAMPLE_EVERY_S
        if self._collapse_after and (due or self.samples_in_a_row >= self._collapse_after):
            self._sampled_s = now_s
            return self._collapsed(inputs, outputs)
        return ""

    def _out_of_range(self, outputs: Outputs) -> str:
        for name, array in outputs:
            bounds = self._ranges.get(name)
            if bounds is None or not array.size:
                continue
            least, most = float(array.min()), float(array.max())
            if least < bounds[0] or most > bounds[1]:
                worst = least if least < bounds[0] else most
                return (
                    f"output {name!r} holds {worst:g}, valid is {bounds[0]:g} to {bounds[1]:g} "
                    "(output_range)"
                )
        return ""

    def _collapsed(self, inputs: Sequence[Array], outputs: Outputs) -> str:
        """Count samples in a row; what has no floats may well be the same for hours."""
        floats = [(name, array) for name, array in outputs if array.dtype.kind == "f"]
        if not any(array.size for _, array in floats):
            return ""
        asked, said = _checksum(inputs), _checksum([array for _, array in floats])
        if asked != self._inputs:
            self._same = self._same + 1 if said == self._answer else 0
            self._saturated = self._saturated + 1 if self._at_the_ends(floats) else 0
        self._inputs, self._answer = asked, said
        if self._same >= self._collapse_after:
            return f"the same answer to {self._same + 1} different inputs (collapse_after)"
        if self._saturated >= self._collapse_after:
            return f"{self._saturated} answers in a row with nothing but the ends of output_range"
        return ""

    def _at_the_ends(self, outputs: Outputs) -> bool:
        """Say whether every value of the outputs with a declared range is its least or its most."""
        ranged = [(array, self._ranges[name]) for name, array in outputs if name in self._ranges]
        return bool(ranged) and all(
            array.size > 1 and bool(np.isin(array, bounds).all()) for array, bounds in ranged
        )


def _checksum(arrays: Sequence[Array]) -> int:
    total = 0
    for array in arrays:
        raw = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        total = zlib.crc32(raw.data, total)
    return total
