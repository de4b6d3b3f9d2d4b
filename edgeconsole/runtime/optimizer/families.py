"""Which of the models built for ONNX Runtime are worth running in other engines. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from edgeconsole.runtime.optimizer.forms import FP32, Technique
from edgeconsole.runtime.optimizer.ledger import Built, Judgement

_READY: Final = (Technique.STATIC, Technique.MIXED)
"""OpenVINO runs these in integers; dynamically quantised ones it runs in float, no faster than fp32."""


@dataclass(frozen=True, slots=True)
class Family:
    """A float model and the best of its int8 forms."""

    plain: Built
    quantized: Built | None


def families(
    found: Sequence[Built], judged: Mapping[str, Judgement], max_drop: float
) -> Iterator[Family]:
    """Yield the packed model, and each reduced one that loses at most `max_drop`.

    Another engine computes the same, so what loses too much in one does in all. Of the int8 forms
    that keep to the drop, the one that loses least stands for all: they differ in numbers, not in
    what is computed.
    """

    def drop(built: Built) -> float | None:
        record = judged.get(built.name)
        return None if record is None else record.drop

    def keeps(built: Built) -> bool:
        lost = drop(built)
        return lost is not None and lost <= max_drop

    for plain in found:
        is_packed = plain.name == FP32
        if not is_packed and not (plain.source == plain.name and keeps(plain)):
            continue
        source = "" if is_packed else plain.name
        forms = [
            each
            for each in found
            if each.source == source and each.technique.endswith(_READY) and keeps(each)
        ]
        yield Family(plain, min(forms, key=lambda each: drop(each) or 0.0, default=None))
