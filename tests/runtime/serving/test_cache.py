"""The inference cache: keys, age, bytes, order, counters."""

from __future__ import annotations

import numpy as np
import pytest

from edgeconsole.runtime.serving.cache import InferenceCache, cache_key

X = np.arange(8, dtype=np.float32).reshape(2, 4)


def answer(size: int = 100, value: float = 1.0):
    """Return outputs of `size` floats."""
    return [("y", np.full(size, value, np.float32))]


@pytest.mark.parametrize(
    "other",
    [
        ("other bundle", [X], ()),
        ("bundle", [X + 1], ()),
        ("bundle", [X.reshape(4, 2)], ()),
        ("bundle", [X, X], ()),
        ("bundle", [X], ("y",)),
    ],
)
def test_another_question_has_another_key(other):
    """Bundle, values, shape, number of inputs and wanted outputs all count."""
    assert cache_key(*other) != cache_key("bundle", [X], ())


def test_the_same_question_has_the_same_key_however_it_lies_in_memory():
    """A view with strides and its copy ask the same."""
    wide = np.zeros((2, 8), np.float32)
    wide[:, ::2] = X
    assert cache_key("b", [wide[:, ::2]], ()) == cache_key("b", [X], ())


def test_an_answer_is_kept_as_it_was_and_for_its_time():
    """The kept outputs are copies, and are gone when their time is over."""
    cache = InferenceCache(1 << 20, ttl_s=10.0)
    outputs = answer()
    cache.put(b"k", outputs, now_s=0.0)
    outputs[0][1][:] = 7.0
    kept = cache.get(b"k", now_s=9.9)
    assert kept is not None
    np.testing.assert_array_equal(kept.outputs[0][1], 1.0)
    assert cache.get(b"k", now_s=10.0) is None
    assert (len(cache), cache.size_bytes) == (0, 0)
    assert cache.statistics.expirations == 1


def test_the_least_recently_used_go_first_and_bytes_are_bounded():
    """Reading an answer keeps it; memory never exceeds the bound."""
    cache = InferenceCache(4000, ttl_s=100.0)
    for key in (b"a", b"b", b"c", b"d"):
        cache.put(key, answer(), now_s=0.0)
    assert cache.get(b"a", 1.0) is not None
    cache.put(b"e", answer(200), now_s=1.0)
    assert cache.size_bytes <= 4000
    assert cache.get(b"a", 1.0) is not None
    assert cache.get(b"b", 1.0) is None
    assert cache.statistics.evictions >= 1


def test_what_is_larger_than_the_cache_is_not_kept():
    """One huge answer does not empty the cache."""
    cache = InferenceCache(4000, ttl_s=100.0)
    cache.put(b"a", answer(), now_s=0.0)
    cache.put(b"huge", answer(5000), now_s=0.0)
    assert cache.get(b"a", 0.0) is not None
    assert cache.get(b"huge", 0.0) is None


def test_hits_and_misses_are_counted_and_putting_again_replaces():
    """A key put twice is held once, with the newer answer."""
    cache = InferenceCache(1 << 20, ttl_s=100.0)
    assert cache.get(b"k", 0.0) is None
    cache.put(b"k", answer(value=1.0), 0.0)
    cache.put(b"k", answer(value=2.0), 0.0)
    kept = cache.get(b"k", 0.0)
    assert kept is not None
    assert kept.outputs[0][1][0] == 2.0
    assert len(cache) == 1
    assert (cache.statistics.hits, cache.statistics.misses) == (1, 1)
