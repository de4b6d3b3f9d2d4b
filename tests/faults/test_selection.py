"""A short selection of `make faults`: the rest takes minutes."""

from __future__ import annotations

import random

import pytest

from faults.__main__ import FAULTS
from faults.plant import Bundles
from faults.runner import run_fault

SELECTION = (
    "worker killed (SIGKILL)",
    "worker stopped (SIGSTOP)",
    "outputs NaN",
    "endless loop in the graph",
    "model file bit-flipped, worker killed",
)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """Return the models under test."""
    return Bundles(tmp_path_factory.mktemp("bundles"))


@pytest.mark.parametrize("name", SELECTION)
async def test_nothing_is_lost_or_mislabelled(name, bundles, tmp_path):
    """Under the fault each request has one true answer or typed refusal, most of them in time, and
    the device comes back by itself.
    """
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    fault = next(each for each in FAULTS if each.name == name)
    row = await run_fault(fault, tmp_path, bundles, None, seed)
    assert not row.wrong
    assert (row.lost, row.unlabelled) == (0, 0)
    assert row.sent == row.full + row.degraded + row.refused
    assert row.sent > 50
    assert row.full
    assert row.degraded
    assert row.recovery_s is not None
    assert row.in_time > 0.8 * row.sent
