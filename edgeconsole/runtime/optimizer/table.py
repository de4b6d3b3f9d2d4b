"""The plan as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from edgeconsole.engines import Engine, install_hint, installed_version
from edgeconsole.runtime.optimizer.plan import Plan


def plan_lines(plan: Plan, engines: Mapping[str, str]) -> Iterator[str]:
    """Yield the engines there are, what would be tried, and what not."""
    yield f"engines: {', '.join(f'{name} {version}' for name, version in engines.items())}"
    for engine in Engine:
        if engine not in engines:
            left_out = "left out" if installed_version(engine.package) else install_hint(engine)
            yield f"not {engine}: {left_out}"
    yield "would be built and measured:"
    for name in plan.names:
        yield f"  {name}"
    if plan.mixed:
        yield "  int8-mixed, if no static int8 model keeps to --max-drop"
    if plan.ports:
        yield "and of what keeps to --max-drop:"
        for port in plan.ports:
            yield f"  {port.said}"
    yield f"with threads: {', '.join(map(str, plan.threads))}"
    for each in plan.skipped:
        yield f"not {each.name}: {each.reason}"
