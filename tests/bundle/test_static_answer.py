"""Static answers are what was declared, in the model's own types, or refused with the reason."""

from __future__ import annotations

import pytest

from edgeconsole.bundle.manifest import decode_manifest, encode_manifest
from edgeconsole.bundle.static_answer import static_rows
from edgeconsole.errors import BundleError
from edgeconsole.protocol.tensors import Datatype, TensorSpec

LOGITS = TensorSpec("logits", Datatype.FP32, (-1, 3))
BOXES = TensorSpec("boxes", Datatype.FP32, (-1, -1, 4))
COUNT = TensorSpec("count", Datatype.UINT8, (-1,))
FIXED = TensorSpec("state", Datatype.FP32, (2,))


@pytest.mark.parametrize(
    ("spec", "value", "expected"),
    [
        (LOGITS, 0, [0.0, 0.0, 0.0]),
        (LOGITS, [0, 0.5, 1], [0.0, 0.5, 1.0]),
        (COUNT, 7, 7),
        (FIXED, [1.5, -1.5], [1.5, -1.5]),
        (FIXED, 2, [2.0, 2.0]),
        (BOXES, [[0, 0, 1, 1]], [[0.0, 0.0, 1.0, 1.0]]),
    ],
)
def test_declared_values_become_a_row(spec, value, expected) -> None:
    """A number fills an output, a list is its row; the datatype is the model's."""
    row = static_rows((spec,), {spec.name: value})[spec.name]
    assert row.dtype == spec.datatype.dtype
    assert row.tolist() == expected


def test_no_objects_is_an_empty_list_where_their_number_is_free() -> None:
    """Detection's "no objects" keeps the other dimensions."""
    assert static_rows((BOXES,), {"boxes": []})["boxes"].shape == (0, 4)


@pytest.mark.parametrize(
    ("spec", "value", "words"),
    [
        (LOGITS, [0.0, 0.0], "has shape [2], one row has [3]"),
        (LOGITS, [], "has shape [0]"),
        (LOGITS, [[0.0], [0.0, 1.0]], "nested unevenly"),
        (LOGITS, "unknown", "must be a number or a list"),
        (LOGITS, None, "must be a number or a list"),
        (LOGITS, ["a", "b", "c"], "are not FP32"),
        (LOGITS, float("nan"), "NaN"),
        (LOGITS, 1e300, "too large"),
        (LOGITS, True, "are not FP32"),
        (BOXES, 0.0, "must be a list"),
        (COUNT, 256, "UINT8 cannot hold"),
        (COUNT, -1, "UINT8 cannot hold"),
        (COUNT, 0.5, "are not UINT8"),
    ],
)
def test_what_is_not_an_answer_is_refused(spec, value, words) -> None:
    """Wrong shapes, types and values are named; nothing is converted silently."""
    with pytest.raises(ValueError) as caught:
        static_rows((spec,), {spec.name: value})
    assert words in str(caught.value)
    assert spec.name in str(caught.value)


def test_every_output_must_be_declared_and_no_other() -> None:
    """An output nobody declared is not invented; one the model lacks is a mistake."""
    with pytest.raises(ValueError, match="lacks output 'count'"):
        static_rows((LOGITS, COUNT), {"logits": 0})
    with pytest.raises(ValueError, match="has 'scores'"):
        static_rows((LOGITS,), {"logits": 0, "scores": 0})


def test_a_bundle_carries_its_static_answer(write) -> None:
    """What is declared at packing is in the manifest; without it the manifest is as it always was."""
    manifest = write(static_answer={"y": [0.0, 1.0]}).manifest
    again = decode_manifest(encode_manifest(manifest), where="here")
    assert again.static_answer == {"y": [0.0, 1.0]}
    assert b"static_answer" not in encode_manifest(write().manifest)


def test_a_bundle_with_a_wrong_static_answer_is_not_written(write) -> None:
    """It is refused when packing, not when it is needed."""
    with pytest.raises(BundleError, match="static_answer lacks output 'y'"):
        write(static_answer={})
