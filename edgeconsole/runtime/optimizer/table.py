"""The plan as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from edgeconsole.runtime.optimizer.plan import Plan


def plan_lines(plan: Plan) -> Iterator[str]:
    """Yield what would be tried, and what not."""
    yield "would be built and measured:"
    for name in plan.names:
        yield f"  {name}"
    if plan.mixed:
        yield "  int8-mixed, if no static int8 model keeps to --max-drop"
    yield f"with threads: {', '.join(map(str, plan.threads))}"
    for each in plan.skipped:
        yield f"not {each.name}: {each.reason}"
