"""The options of an optimisation: the same for `edgeconsole-agent optimize` and for the verb."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Final

from edgeconsole.durations import parse_duration
from edgeconsole.errors import ConfigError
from edgeconsole.protocol.jobs import MAX_BUDGET_S, MIN_BUDGET_S
from edgeconsole.protocol.optimization import Constraints, Objective
from edgeconsole.specs import ModelOptimizationLevel

_MIB: Final = 1 << 20
_MOST: Final = 1e6


@dataclass(frozen=True, slots=True)
class Asked:
    """What the options ask for."""

    level: ModelOptimizationLevel
    objective: Objective
    constraints: Constraints
    budget_s: float


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add them to a parser."""
    add = parser.add_argument
    levels = [each.value for each in ModelOptimizationLevel]
    full = ModelOptimizationLevel.FULL_OPTIMIZATION.value
    add("--level", choices=levels, default=full, help=f"how far to go (default: {full})")
    objectives = [each.value for each in Objective]
    add("--objective", choices=objectives, default="p99", help="what to make small (default: p99)")
    add(
        "--max-drop",
        type=amount,
        default=1.0,
        metavar="POINTS",
        help="what the metric may lose: points, or per cent for errors (default: 1.0)",
    )
    add("--max-p99-ms", type=amount, metavar="MS", help="how slow a variant may be")
    add("--max-memory-mb", type=amount, metavar="MB", help="how much memory a worker may take")
    add("--max-size-mb", type=amount, metavar="MB", help="how large the model's file may be")
    add("--budget", default="10m", metavar="TIME", help="how long it may take (default: 10m)")


def read_options(options: argparse.Namespace) -> Asked:
    """Return what was asked for; raises `ConfigError` for a budget that is none."""
    budget_s = parse_duration(options.budget)
    if not MIN_BUDGET_S <= budget_s <= MAX_BUDGET_S:
        raise ConfigError(f"--budget {options.budget} is not between 10s and 24h")
    return Asked(
        level=ModelOptimizationLevel(options.level),
        objective=Objective(options.objective),
        constraints=Constraints(
            max_drop=options.max_drop,
            max_p99_ms=options.max_p99_ms,
            max_memory_bytes=_bytes(options.max_memory_mb),
            max_size_bytes=_bytes(options.max_size_mb),
        ),
        budget_s=budget_s,
    )


def amount(text: str) -> float:
    """Return a number from 0 to a million; raises `ValueError`, which the parser words."""
    value = float(text)
    if not 0.0 <= value <= _MOST:
        raise ValueError(text)
    return value


def _bytes(megabytes: float | None) -> int | None:
    return None if megabytes is None else max(1, int(megabytes * _MIB))
