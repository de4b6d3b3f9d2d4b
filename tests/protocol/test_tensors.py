"""V2 datatypes, tensor specs, and the search for NaN."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgeconsole.protocol.tensors import (
    Array,
    Datatype,
    TensorSpec,
    element_count,
    has_non_finite,
)


@pytest.mark.parametrize("datatype", list(Datatype))
@pytest.mark.parametrize("order", ["<", ">"])
def test_datatypes_and_dtypes_match(datatype: Datatype, order: str) -> None:
    """Every datatype has one little-endian dtype, and is found again from any byte order."""
    assert datatype.dtype == datatype.dtype.newbyteorder("<")
    assert Datatype.of(datatype.dtype.newbyteorder(order)) is datatype


@pytest.mark.parametrize(
    ("datatype", "bits"),
    [(each, int(each.value.lstrip("UINTFP"))) for each in Datatype if each != "BOOL"],
)
def test_names_say_the_size(datatype: Datatype, bits: int) -> None:
    """The number in a V2 name is the size in bits."""
    assert datatype.dtype.itemsize * 8 == bits


@pytest.mark.parametrize("datatype", list(Datatype))
def test_only_floats_can_be_non_finite(datatype: Datatype) -> None:
    """`is_float` is true exactly for the FP types."""
    assert datatype.is_float == datatype.value.startswith("FP")


@pytest.mark.parametrize("dtype", ["U4", "S4", "O", "c8", "M8[s]", "V8"])
def test_dtypes_without_a_datatype_are_refused(dtype: str) -> None:
    """What V2 cannot carry is refused by name."""
    with pytest.raises(ValueError, match="has no Open Inference Protocol datatype"):
        Datatype.of(dtype)


@pytest.mark.parametrize(
    ("spec", "shape", "fits"),
    [
        ((-1, 3), (5, 3), True),
        ((-1, 3), (0, 3), True),
        ((-1, 3), (5, 4), False),
        ((-1, 3), (5,), False),
        ((-1, 3), (5, 3, 1), False),
        ((), (), True),
        ((), (1,), False),
        ((2, -1), (2, 9), True),
        ((0,), (0,), True),
    ],
)
def test_shapes_fit_rank_and_dimensions(
    spec: tuple[int, ...],
    shape: tuple[int, ...],
    fits: bool,  # noqa: FBT001
) -> None:
    """A shape fits if its rank and every dimension that is not free agree."""
    assert TensorSpec("x", Datatype.FP32, spec).fits(shape) is fits


@pytest.mark.parametrize(
    ("shape", "batched"), [((-1, 3), True), ((-1,), True), ((3, -1), False), ((), False)]
)
def test_batch_is_a_free_first_dimension(shape: tuple[int, ...], batched: bool) -> None:  # noqa: FBT001
    """Only a free *first* dimension is a batch."""
    assert TensorSpec("x", Datatype.FP32, shape).is_batched is batched


@given(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
def test_element_count_is_numpys(shape: tuple[int, ...]) -> None:
    """The count is the size of an array of that shape; a scalar has one value."""
    assert element_count(shape) == np.empty(shape).size


FLOATS = st.sampled_from([Datatype.FP16, Datatype.FP32, Datatype.FP64]).flatmap(
    lambda each: hnp.arrays(each.dtype, hnp.array_shapes(min_dims=0, min_side=0, max_side=6))
)


@given(FLOATS)
@example(np.full(3, np.finfo("f8").max))
@example(np.array([np.inf, -np.inf]))
@example(np.full(100_000, np.finfo("f4").max, "f4"))
def test_non_finite_values_are_found(array: Array) -> None:
    """Exactly what `isfinite` says, also where the sum overflows though no value does."""
    assert has_non_finite(array) == (not np.isfinite(array).all())


@pytest.mark.parametrize("datatype", [each for each in Datatype if not each.is_float])
def test_integers_are_always_finite(datatype: Datatype) -> None:
    """Integers and booleans hold no NaN, whatever their bits."""
    array = np.frombuffer(b"\x01" * 16, datatype.dtype)
    assert not has_non_finite(array)
