"""What does not fit the manifest is refused before it is queued, with the reason and the remedy."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from edgeconsole.bundle import Manifest, Task
from edgeconsole.bundle.manifest import BundleFile
from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.protocol.inference import InferRequest, RequestLayout
from edgeconsole.protocol.tensors import Array, Datatype, TensorSpec
from edgeconsole.runtime.serving.admission import check_request

MANIFEST = Manifest(
    model="pair",
    version="1",
    task=Task.CUSTOM,
    inputs=(
        TensorSpec("left", Datatype.FP32, (-1, 3)),
        TensorSpec("right", Datatype.INT64, (-1,)),
        TensorSpec("scale", Datatype.FP64, ()),
    ),
    outputs=(
        TensorSpec("sum", Datatype.FP32, (-1,)),
        TensorSpec("best", Datatype.INT64, (-1,)),
    ),
    files=tuple(BundleFile(name, 1, "0" * 64) for name in ("model.onnx", "golden.safetensors")),
)


def inputs(**changes: Array | None) -> dict[str, Array]:
    """Return good inputs, with changes; `None` leaves one out."""
    good: dict[str, Array | None] = {
        "left": np.ones((2, 3), "f4"),
        "right": np.ones(2, "i8"),
        "scale": np.ones((), "f8"),
    }
    return {name: array for name, array in (good | changes).items() if array is not None}


def request(arrays: dict[str, Array], *output_names: str) -> InferRequest:
    """Return a request."""
    return InferRequest("pair", "", "1", None, 5, arrays, output_names, binary_output=True)


@pytest.mark.parametrize("rows", [1, 2, 7])
@pytest.mark.parametrize("output_names", [(), ("best",), ("best", "sum")])
def test_good_requests_come_in_the_manifests_order(rows: int, output_names: Any) -> None:
    """Whatever order a client sends its inputs in, the model has its own; bytes are counted."""
    given = inputs(left=np.ones((rows, 3), "f4"), right=np.ones(rows, "i8"))
    shuffled = dict(reversed(given.items()))
    fit = check_request(MANIFEST, request(shuffled, *output_names))
    assert fit.input_names == tuple(given)
    assert fit.rows == 1
    assert fit.shapes is None, "a scalar input cannot be shared by a batch"
    assert fit.size_bytes == sum(array.nbytes for array in given.values())


REFUSED: dict[str, tuple[dict[str, Array], tuple[str, ...], ErrorCode, str]] = {
    "unknown input": (
        inputs(middle=np.ones(1)),
        (),
        ErrorCode.BAD_INPUT_NAME,
        "'pair' has no input 'middle'; it has left, right, scale",
    ),
    "unknown output": (
        inputs(),
        ("sum", "worst"),
        ErrorCode.BAD_PARAMETER,
        "'pair' has no output 'worst'; it has best, sum",
    ),
    "missing input": (
        inputs(right=None),
        (),
        ErrorCode.BAD_INPUT_NAME,
        "input 'right' is missing (INT64 [-1])",
    ),
    "no inputs": (
        {},
        (),
        ErrorCode.BAD_INPUT_NAME,
        "input 'left' is missing (FP32 [-1, 3])",
    ),
    "other datatype": (
        inputs(left=np.ones((2, 3), "f8")),
        (),
        ErrorCode.BAD_DATATYPE,
        "input 'left' is FP64, expected FP32",
    ),
    "signedness": (
        inputs(right=np.ones(2, "u8")),
        (),
        ErrorCode.BAD_DATATYPE,
        "input 'right' is UINT64, expected INT64",
    ),
    "other rank": (
        inputs(left=np.ones(3, "f4")),
        (),
        ErrorCode.BAD_SHAPE,
        "input 'left' has shape [3], expected [-1, 3] (-1 is the batch)",
    ),
    "other dimension": (
        inputs(left=np.ones((2, 4), "f4")),
        (),
        ErrorCode.BAD_SHAPE,
        "input 'left' has shape [2, 4], expected [-1, 3] (-1 is the batch)",
    ),
    "not a scalar": (
        inputs(scale=np.ones(1)),
        (),
        ErrorCode.BAD_SHAPE,
        "input 'scale' has shape [1], expected []",
    ),
    "batches differ": (
        inputs(right=np.ones(3, "i8")),
        (),
        ErrorCode.BAD_SHAPE,
        "the inputs differ in their batch dimension: [2, 3]",
    ),
    "empty batch": (
        inputs(left=np.ones((0, 3), "f4"), right=np.ones(0, "i8")),
        (),
        ErrorCode.BAD_SHAPE,
        "the batch is empty; send at least one row",
    ),
    "NaN": (
        inputs(left=np.array([[1, 2, np.nan]] * 2, "f4")),
        (),
        ErrorCode.BAD_VALUE,
        "input 'left' holds NaN or infinity",
    ),
    "infinity": (
        inputs(scale=np.array(-np.inf)),
        (),
        ErrorCode.BAD_VALUE,
        "input 'scale' holds NaN or infinity",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_requests_are_refused(case: str) -> None:
    """Each refusal has its code and says what is wrong and what the model expects."""
    arrays, output_names, code, message = REFUSED[case]
    with pytest.raises(RequestError) as caught:
        check_request(MANIFEST, request(arrays, *output_names))
    assert (caught.value.code, caught.value.message) == (code, message)


def test_the_largest_finite_values_are_values() -> None:
    """Sums that overflow are no reason to refuse values that do not."""
    huge = np.full((2, 3), np.finfo("f4").max, "f4")
    largest = np.array(np.finfo("f8").max)
    assert check_request(MANIFEST, request(inputs(left=huge, scale=largest))).rows == 1


def test_a_known_layout_is_checked_once_and_its_values_each_time() -> None:
    """What depends on names and shapes alone is kept with the layout; NaN is looked for every time."""
    layout = RequestLayout(())
    first, second = (msgspec.structs.replace(request(inputs()), layout=layout) for _ in range(2))
    assert check_request(MANIFEST, first) is check_request(MANIFEST, second)
    other = msgspec.structs.replace(MANIFEST, version="2")
    assert check_request(other, first).manifest is other
    bad = msgspec.structs.replace(request(inputs(scale=np.array(np.nan))), layout=layout)
    with pytest.raises(RequestError, match="'scale' holds NaN"):
        check_request(other, bad)
