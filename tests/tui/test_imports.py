"""What the console may import, seen in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import edgeconsole.tui

PURE = (
    "actions",
    "audit_lines",
    "backlog_lines",
    "chart_geometry",
    "chart_marks",
    "charts",
    "column_layout",
    "columns",
    "command_error",
    "commands",
    "confirm_lines",
    "device_lines",
    "filter",
    "format",
    "frame",
    "gauges",
    "glyphs",
    "hangup",
    "inspector",
    "job_acts",
    "job_lines",
    "ladder_lines",
    "model_acts",
    "model_lines",
    "optimize_form",
    "optimize_words",
    "order_words",
    "ordering",
    "pareto_plot",
    "report_lines",
    "runs",
    "scales",
    "service",
    "sparks",
    "state",
    "summary",
    "switch_lines",
    "tabular",
    "thermal_lines",
    "why_lines",
)


def loaded_by(module: str) -> set[str]:
    """Return the names of all modules that are loaded once one is."""
    code = f"import sys, {module}; print('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=30
    )
    return set(done.stdout.split())


def test_pure_modules_do_not_load_textual() -> None:
    """Everything that computes text works without a terminal library."""
    modules = ", ".join(f"edgeconsole.tui.{name}" for name in PURE)
    assert "textual" not in loaded_by(modules)


def test_the_list_of_pure_modules_is_complete() -> None:
    """A new module is either here or draws on the screen."""
    folder = Path(edgeconsole.tui.__path__[0])
    names = {path.stem for path in folder.glob("*.py")} - {"__init__", "app", "theme"}
    assert names == set(PURE)


@pytest.mark.parametrize("package", ["torch", "onnxruntime", "edgeconsole.runtime"])
def test_the_console_never_loads_an_engine(package: str) -> None:
    """The console renders; it never runs models."""
    assert package not in loaded_by("edgeconsole.tui.app")
