"""`--example` texts: what they mean and which are refused."""

from __future__ import annotations

import numpy as np
import pytest

from edgeconsole.errors import PackError
from edgeconsole.packer.example_spec import ExampleSpec, make_examples, parse_spec
from edgeconsole.protocol.tensors import Datatype


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("1x1x8x8:FP32", ExampleSpec("", (1, 1, 8, 8), Datatype.FP32, 2)),
        ("ids=2x16:int64:100", ExampleSpec("ids", (2, 16), Datatype.INT64, 100)),
        ("5:UINT8<256", ExampleSpec("", (5,), Datatype.UINT8, 256)),
        ("k=scalar:FP64", ExampleSpec("k", (), Datatype.FP64, 2)),
    ],
)
def test_parses(text: str, spec: ExampleSpec) -> None:
    """Name, shape, datatype and limit are read, in either spelling of the limit."""
    assert parse_spec(text) == spec


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "cannot be read"),
        ("1,2:FP32", "cannot be read"),
        ("1x2", "cannot be read"),
        ("-1x2:FP32", "cannot be read"),
        ("1x2:FLOAT", "datatype 'FLOAT' is not known.*FP32"),
        ("0x2:FP32", "has no values"),
        ("99999x99999:FP32", "more than"),
        ("1:FP32:5", "limit is for integers"),
        ("1:UINT8:257", "limit 257 does not fit UINT8"),
    ],
)
def test_refuses(text: str, words: str) -> None:
    """A text that cannot be meant is refused with the form to use."""
    with pytest.raises(PackError, match=words):
        parse_spec(text)


def test_values_are_reproducible_and_in_range() -> None:
    """The same texts give the same arrays; integers stay below their limit."""
    specs = [parse_spec("2x50:FP32"), parse_spec("2x50:INT64:7"), parse_spec("9:BOOL")]
    first, second = make_examples(specs), make_examples(specs)
    assert isinstance(first, tuple)
    assert isinstance(second, tuple)
    assert [array.dtype.name for array in first] == ["float32", "int64", "bool"]
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert set(first[1].flatten().tolist()) == set(range(7))


def test_names_for_all_or_none() -> None:
    """Names make a mapping; a mixture or a name given twice is refused."""
    named = make_examples([parse_spec("a=1:FP32"), parse_spec("b=1:FP32")])
    assert isinstance(named, dict)
    assert list(named) == ["a", "b"]
    for texts in (["a=1:FP32", "1:FP32"], ["a=1:FP32", "a=1:FP32"]):
        with pytest.raises(PackError, match="name every input once"):
            make_examples([parse_spec(text) for text in texts])
