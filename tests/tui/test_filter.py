"""The grammar of `/`."""

from __future__ import annotations

import pytest
from fleets import lab

from edgeconsole.fleet.store import DeviceView
from edgeconsole.tui.filter import EVERYTHING, FilterError, parse, while_typing

VIEWS = lab(60)[0].devices()


def kept(text: str) -> set[str]:
    """Return the devices of the lab that a filter keeps."""
    chosen = parse(text)
    return {view.id for view in VIEWS if chosen.keeps(view)}


def ids(test: object = None) -> set[str]:
    """Return the ids of all devices."""
    del test
    return {view.id for view in VIEWS}


@pytest.mark.parametrize(
    ("text", "devices"),
    [
        ("dock", {"dock-0188"}),
        ("DOCK", {"dock-0188"}),
        ("/cart", {"cart-0001", "cart-0002"}),
        ("state=crit", {"dock-0188"}),
        ("state=st,unk", {"gate-0020", "cam-05"}),
        ("site=lyon", {"dock-0188", "cart-0001", "cart-0002"}),
        ("site=lyon variant=int8", {"cart-0001", "cart-0002"}),
        ("site=lyon !cart", {"dock-0188"}),
        ("budget>100", {"dock-0188"}),
        ("temp>80%", {"dock-0188", "line-0064"}),
        ("age>5", {"gate-0020"}),
        ("seen=never", {"cam-05"}),
        ("link=waiting", {"gate-0020", "cam-05"}),
        ("[/nope]", set()),
    ],
)
def test_terms_keep_what_they_say(text: str, devices: set[str]) -> None:
    """Every term must hold; words compare from their start, figures by value."""
    assert kept(text) == devices


def test_an_empty_filter_keeps_everything() -> None:
    """No terms, no filter."""
    assert kept("") == kept("/") == ids()
    assert not parse(" ")
    assert not EVERYTHING
    assert parse("x")


def test_exclusions_invert() -> None:
    """`!` and `!=` keep the others."""
    assert kept("!site=lyon") == kept("site!=lyon") == ids() - kept("site=lyon")
    assert kept("!dock") == ids() - {"dock-0188"}


def test_the_unknown_is_kept_by_no_comparison() -> None:
    """A device that never spoke is neither warm nor not warm."""
    assert "cam-05" not in kept("temp>0")
    assert "cam-05" not in kept("!temp>0")
    assert "cam-05" not in kept("model!=yolo-n")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("tmep>75", "no key 'tmep'"),
        ("temp>", "needs a number"),
        ("temp>warm", "needs a number"),
        ("temp>inf", "finite"),
        ("temp!=4", "is a figure"),
        ("state=red", "states are crit, failsafe"),
        ("state>3", "is a word"),
        ("site=", "needs a word"),
        ("!", "something to exclude"),
    ],
)
def test_bad_terms_are_explained(text: str, part: str) -> None:
    """The message names what is wrong with which term."""
    with pytest.raises(FilterError) as caught:
        parse(f"dock {text}")
    assert part in str(caught.value)


@pytest.mark.parametrize("relation", [">", ">=", "<", "<=", "="])
def test_every_relation_compares(relation: str) -> None:
    """All five relations are understood."""
    view = next(view for view in VIEWS if view.id == "dock-0188")
    value = _deadline_share(view)
    above, below = f"budget{relation}{value - 1}", f"budget{relation}{value + 1}"
    assert parse(above).keeps(view) is (">" in relation)
    assert parse(below).keeps(view) is ("<" in relation)


def _deadline_share(view: DeviceView) -> float:
    assert view.budget is not None
    return view.budget * 100


@pytest.mark.parametrize("end", range(len("cart temp>10") + 1))
def test_rows_do_not_vanish_while_a_key_is_typed(end: int) -> None:
    """From the first to the last letter of `cart temp>10` the carts are there."""
    chosen, _ = while_typing("cart temp>10"[:end], VIEWS)
    assert {"cart-0001", "cart-0002"} <= {view.id for view in VIEWS if chosen.keeps(view)}


def test_unfinished_and_wrong_terms_are_told_apart() -> None:
    """A begun key is no mistake, a wrong one is; a finished word counts as it stands."""
    assert while_typing("cart te", VIEWS)[1] == ""
    assert "needs a number" in while_typing("cart temp>", VIEWS)[1]
    assert while_typing("cart temp>", VIEWS)[0].text == "cart"
    assert while_typing("x>1 y>2", VIEWS)[0] is EVERYTHING
    assert while_typing("temp ", VIEWS)[0].text == "temp"
    assert while_typing("dock", VIEWS)[0].text == "dock"
