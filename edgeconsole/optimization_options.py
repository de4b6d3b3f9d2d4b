"""The options of an optimisation: the same for `edgeconsole-agent optimize` and for the verb."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from typing import Final

from edgeconsole.durations import duration_text, parse_duration
from edgeconsole.errors import ConfigError
from edgeconsole.protocol.jobs import MAX_BUDGET_S, MIN_BUDGET_S
from edgeconsole.protocol.optimization import Constraints, Objective
from edgeconsole.specs import ModelOptimizationLevel

_MIB: Final = 1 << 20
_MOST: Final = 1e6


@dataclass(frozen=True, slots=True)
class Asked:
    """What the options ask for; what it is made with are their defaults."""

    level: ModelOptimizationLevel = ModelOptimizationLevel.FULL_OPTIMIZATION
    objective: Objective = Objective.P99
    constraints: Constraints = field(default_factory=Constraints)
    budget_s: float = 600.0


_DEFAULTS: Final = Asked()


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add them to a parser."""
    add = parser.add_argument
    levels = [each.value for each in ModelOptimizationLevel]
    level, objective = _DEFAULTS.level.value, _DEFAULTS.objective.value
    add("--level", choices=levels, default=level, help="how far to go (default: %(default)s)")
    objectives = [each.value for each in Objective]
    add(
        "--objective",
        choices=objectives,
        default=objective,
        help="what to make small (default: %(default)s)",
    )
    add(
        "--max-drop",
        type=amount,
        default=_DEFAULTS.constraints.max_drop,
        metavar="POINTS",
        help="what the metric may lose: points, or per cent for errors (default: %(default)s)",
    )
    add("--max-p99-ms", type=amount, metavar="MS", help="how slow a variant may be")
    add("--max-memory-mb", type=amount, metavar="MB", help="how much memory a worker may take")
    add("--max-size-mb", type=amount, metavar="MB", help="how large the model's file may be")
    add(
        "--budget",
        default=duration_text(_DEFAULTS.budget_s),
        metavar="TIME",
        help="how long it may take (default: %(default)s)",
    )


def read_options(options: argparse.Namespace) -> Asked:
    """Return what was asked for; raises `ConfigError` for a budget that is none."""
    try:
        budget_s = parse_duration(options.budget)
    except ConfigError as error:
        raise ConfigError(f"--budget: {error.message}", hint=error.hint) from error
    if not MIN_BUDGET_S <= budget_s <= MAX_BUDGET_S:
        raise ConfigError(f"--budget: {options.budget} is not between 10s and 24h")
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


def option_words(asked: Asked) -> list[str]:
    """Return the options as one types them; `read_options` of these asks for the same."""
    limits = asked.constraints
    words = [
        *("--level", asked.level.value),
        *("--objective", asked.objective.value),
        *("--max-drop", _number(limits.max_drop)),
    ]
    if limits.max_p99_ms is not None:
        words += ["--max-p99-ms", _number(limits.max_p99_ms)]
    if limits.max_memory_bytes is not None:
        words += ["--max-memory-mb", _number(limits.max_memory_bytes / _MIB)]
    if limits.max_size_bytes is not None:
        words += ["--max-size-mb", _number(limits.max_size_bytes / _MIB)]
    return [*words, "--budget", _time(asked.budget_s)]


def _number(value: float) -> str:
    return f"{value:.0f}" if value == round(value) else repr(value)


def _time(seconds: float) -> str:
    return duration_text(seconds) if seconds == round(seconds) else f"{seconds:f}s"


def amount(text: str) -> float:
    """Return a number from 0 to a million; raises `ValueError`, which the parser words."""
    value = float(text)
    if not 0.0 <= value <= _MOST:
        raise ValueError(text)
    return value


def _bytes(megabytes: float | None) -> int | None:
    return None if megabytes is None else max(1, int(megabytes * _MIB))
