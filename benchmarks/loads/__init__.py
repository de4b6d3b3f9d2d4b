"""The loads, one a module: each has `NAME` and `run(bench)`, which returns a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from benchmarks.bench import Bench
from benchmarks.loads import cache, closed, memory, overload, start, swap, urgent
from benchmarks.report import Table

LOADS: Final[dict[str, Callable[[Bench], Table]]] = {
    module.NAME: module.run for module in (closed, overload, urgent, cache, swap, start, memory)
}
"""In the order they are measured."""

__all__ = ["LOADS"]
