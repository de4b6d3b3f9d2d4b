"""Which of what was built is run in other engines."""

from __future__ import annotations

from edgeconsole.runtime.optimizer.families import families
from edgeconsole.runtime.optimizer.ledger import Built, Judgement

FOUND = [
    Built("fp32", "float"),
    Built("int8-dynamic", "dynamic int8", model="d"),
    Built("int8-minmax", "static int8", model="m"),
    Built("int8-entropy", "static int8", model="e"),
    Built("pruned50", "pruned", model="p", source="pruned50"),
    Built("pruned50-int8-minmax", "pruned, static int8", model="pm", source="pruned50"),
    Built("pruned70", "pruned", model="q", source="pruned70"),
]


def found(**drops: float) -> dict[str, str | None]:
    """Return each family's float model and its int8 form, given what each loses."""
    judged = {name.replace("_", "-"): Judgement(drop=drop) for name, drop in drops.items()}
    return {
        each.plain.name: each.quantized and each.quantized.name
        for each in families(FOUND, judged, 1.0)
    }


def test_the_int8_form_that_loses_least_stands_for_all() -> None:
    """Of what keeps to the drop; dynamic ones are no faster elsewhere."""
    assert found(int8_minmax=0.5, int8_entropy=0.2, int8_dynamic=0.0) == {"fp32": "int8-entropy"}
    assert found(int8_minmax=0.5, int8_entropy=1.2) == {"fp32": "int8-minmax"}


def test_the_packed_model_goes_on_whatever_became_of_the_others() -> None:
    """Even alone: float in another engine may be the fastest that is right."""
    assert found() == {"fp32": None}
    assert found(int8_minmax=3.0) == {"fp32": None}


def test_reduced_models_go_on_only_if_they_keep_to_the_drop() -> None:
    """Each with its own int8 form."""
    assert found(pruned50=0.9, pruned70=1.1, pruned50_int8_minmax=1.0) == {
        "fp32": None,
        "pruned50": "pruned50-int8-minmax",
    }
