"""Tables and targets of the benchmarks."""

from __future__ import annotations

import msgspec
import pytest

from benchmarks import machine
from benchmarks.measure import Metric
from benchmarks.report import Row, RunReport, Table, number, render_table, to_json, to_markdown
from benchmarks.targets import judge


def metric(*rounds: float, unit: str = "1/s") -> Metric:
    """Return a metric of some rounds."""
    return Metric.of(rounds, unit)


def closed_row(system: str, clients: int, **metrics: Metric) -> Row:
    """Return a row as the closed-loop load makes it."""
    return Row(system, {"model": "mlp", "clients": str(clients)}, dict(metrics))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.1234, "0.123"), (1.5, "1.50"), (12.34, "12.3"), (12345.6, "12,346"), (-250.4, "-250")],
)  # fmt: skip
def test_numbers_have_three_significant_digits(value: float, text: str) -> None:
    """No exponents, no false precision."""
    assert number(value) == text


def test_a_table_shows_the_spread_of_repeated_figures() -> None:
    """A figure of several rounds carries its quartiles; one without figures carries its note."""
    table = Table(
        "closed",
        "Closed",
        (
            closed_row("edgeconsole", 1, rate=metric(100, 200, 300)),
            Row("mosec", note="not installed"),
        ),
        ("A remark.",),
    )
    lines = render_table(table).splitlines()
    assert lines[0] == "## Closed"
    assert lines[2] == "| system | model | clients | rate (1/s) | note |"
    assert lines[4] == "| edgeconsole | mlp | 1 | 200 [150–250] |  |"
    assert lines[5] == "| mosec |  |  | – | not installed |"
    assert lines[-1] == "A remark."


def test_every_row_of_a_table_has_as_many_cells_as_its_header() -> None:
    """Markdown drops what has no header."""
    table = Table("t", "T", (closed_row("a", 1, rate=metric(1)), closed_row("b", 1, p50=metric(2))))
    assert (
        len({line.count("|") for line in render_table(table).splitlines() if line[:1] == "|"}) == 1
    )


def test_targets_compare_with_the_best_mode_of_the_best_peer() -> None:
    """The bar is the best peer's best mode; what was not measured is said to be so."""
    closed = Table(
        "closed",
        "Closed",
        (
            closed_row("raw echo", 1, p50=metric(100.0)),
            closed_row("edgeconsole", 1, p50=metric(150.0), p99=metric(310.0)),
            closed_row("mosec, plain", 1, p50=metric(400.0)),
            closed_row("mosec, batched", 1, p50=metric(2000.0)),
            closed_row("edgeconsole", 32, rate=metric(900.0), p50=metric(1.0), p99=metric(1.5)),
            closed_row("mosec, plain", 32, rate=metric(500.0)),
            closed_row("mosec, batched", 32, rate=metric(1000.0)),
        ),
    )
    targets = {each.name: each for each in judge({"closed": closed}, "mlp", "mobile", ("mosec",))}
    met = {name: each.met for name, each in targets.items() if each.met is not None}
    assert met == {
        "lone client, mlp: p50 / best peer": True,
        "lone client, mlp: p50 / raw echo": True,
        "lone client, mlp: p99 / p50": False,
        "32 clients, mlp: rate / best peer (aim 1.5)": False,
        "32 clients, mlp: p99 / p50": True,
    }
    assert targets["lone client, mlp: p50 / best peer"].measured.startswith("0.375")
    assert targets["swap: failed"].met is None


def test_without_any_load_no_target_is_met_or_missed() -> None:
    """An empty run judges nothing."""
    assert {each.met for each in judge({}, "mlp", "mobile", ())} == {None}


def test_a_report_survives_json_and_renders() -> None:
    """The JSON holds all of a run; the Markdown names the machine and the peers."""
    table = Table("closed", "Closed", (closed_row("edgeconsole", 1, rate=metric(1, 2)),))
    report = RunReport(
        machine=machine.describe(),
        before=machine.load_now(),
        after=machine.load_now(),
        settings={"seed": "1"},
        peers={"mosec": ""},
        tables=(table,),
        targets=judge({"closed": table}, "mlp", "mobile", ("mosec",)),
    )
    assert msgspec.json.decode(to_json(report), type=RunReport) == report
    text = to_markdown(report)
    assert report.machine.cpu in text
    assert "mosec not installed" in text
    assert "not measured" in text


def test_the_machine_says_what_numbers_depend_on() -> None:
    """CPU, cores, kernel, interpreter and versions are never empty."""
    found = machine.describe()
    assert found.cpu
    assert found.cores >= 1
    assert found.kernel
    assert found.python
    assert "numpy" in found.packages
    assert len(machine.load_now().load_average) == 3
