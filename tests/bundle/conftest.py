"""A small bundle whose model is never run: the folder's code does not look inside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeconsole.bundle import Bundle, Task
from edgeconsole.bundle.writer import Contents, write_bundle
from edgeconsole.protocol.tensors import Datatype, TensorSpec

Writer = Callable[..., Bundle]


def contents() -> Contents:
    """Return file contents for one FP32 input `x` and one output `y` of two scores."""
    rows = np.arange(12, dtype="f4").reshape(4, 3)
    return Contents(
        onnx=b"onnx bytes",
        golden_inputs={"x": rows[:2]},
        golden_outputs={"y": rows[:2, :2].copy()},
        calibration={"x": rows},
        evaluation=({"x": rows}, np.array([0, 1, 0, 1])),
    )


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    """Return a function that writes the bundle, with changes to its contents or its path."""

    def writer(
        path: Path | str = tmp_path / "good",
        static_answer: dict[str, object] | None = None,
        **changes: object,
    ) -> Bundle:
        return write_bundle(
            path,
            replace(contents(), **changes),  # type: ignore[arg-type]
            model="toy",
            version="1",
            task=Task.CLASSIFICATION,
            inputs=(TensorSpec("x", Datatype.FP32, (-1, 3)),),
            outputs=(TensorSpec("y", Datatype.FP32, (-1, 2)),),
            labels=("no", "yes"),
            static_answer=static_answer,
        )

    return writer


@pytest.fixture
def good(write: Writer) -> Bundle:
    """Return a written bundle."""
    return write()
