"""`--example` texts such as `1x1x8x8:FP32`: how to write example inputs on a command line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from edgeconsole.errors import PackError
from edgeconsole.protocol.tensors import Array, Datatype

SPEC_HELP: Final = "[NAME=]SHAPE:DATATYPE[:LIMIT], for example 1x1x8x8:FP32 or ids=1x16:INT64:1000"
_SPEC: Final = re.compile(
    r"(?:(?P<name>\w+)=)?(?P<shape>\d+(?:x\d+)*|scalar):(?P<type>\w+)(?:[:<](?P<limit>\d+))?"
)
_MAX_VALUES: Final = 1 << 28
_SEED: Final = 0


@dataclass(frozen=True)
class ExampleSpec:
    """One parsed text; `limit` bounds integers: values are `0` to `limit - 1`."""

    name: str
    shape: tuple[int, ...]
    datatype: Datatype
    limit: int


def parse_spec(text: str) -> ExampleSpec:
    """Parse one `--example`; raises `PackError` that shows the form."""
    found = _SPEC.fullmatch(text.strip())
    if found is None:
        raise PackError(f"--example {text!r} cannot be read", hint=f"write {SPEC_HELP}")
    try:
        datatype = Datatype(found["type"].upper())
    except ValueError:
        known = ", ".join(Datatype)
        raise PackError(
            f"--example {text!r}: datatype {found['type']!r} is not known", hint=f"one of {known}"
        ) from None
    scalar = found["shape"] == "scalar"
    shape = () if scalar else tuple(int(dim) for dim in found["shape"].split("x"))
    if not 0 < int(np.prod(shape, dtype=object)) <= _MAX_VALUES:
        raise PackError(f"--example {text!r}: has no values, or more than {_MAX_VALUES}")
    limit = int(found["limit"] or 2)
    if found["limit"] and (datatype.is_float or datatype is Datatype.BOOL):
        raise PackError(f"--example {text!r}: a limit is for integers only")
    if limit < 1 or (datatype.dtype.kind in "iu" and limit - 1 > np.iinfo(datatype.dtype).max):
        raise PackError(f"--example {text!r}: limit {limit} does not fit {datatype}")
    return ExampleSpec(found["name"] or "", shape, datatype, limit)


def make_examples(specs: Sequence[ExampleSpec]) -> tuple[Array, ...] | dict[str, Array]:
    """Make the arrays: a tuple in forward order, or a dict if the specs have names.

    Floats are standard normal, integers uniform below the limit, always the same ones. Raises
    `PackError` if only some have names or a name is given twice.
    """
    random = np.random.default_rng(_SEED)
    arrays = tuple(_make(spec, random) for spec in specs)
    names = [spec.name for spec in specs]
    if not any(names):
        return arrays
    if not all(names) or len(set(names)) != len(names):
        raise PackError(
            f"--example names are {names}", hint="name every input once, or none of them"
        )
    return dict(zip(names, arrays, strict=True))


def _make(spec: ExampleSpec, random: np.random.Generator) -> Array:
    if spec.datatype.is_float:
        drawn: Array = np.asarray(random.standard_normal(spec.shape))
    else:
        drawn = np.asarray(random.integers(0, spec.limit, spec.shape))
    return drawn.astype(spec.datatype.dtype)
