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


def closed_row(
    system: str, clients: int, *, model: str = "mlp", workers: int = 1, **metrics: Metric
) -> Row:
    """Return a row as the closed-loop load makes it."""
    setting = {"model": model, "clients": str(clients), "workers": str(workers)}
    return Row(system, setting, dict(metrics))


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
    assert lines[2] == "| system | model | clients | workers | rate (1/s) | note |"
    assert lines[4] == "| edgeconsole | mlp | 1 | 1 | 200 [150–250] |  |"
    assert lines[5] == "| mosec |  |  |  | – | not installed |"
    assert lines[-1] == "A remark."


def test_every_row_of_a_table_has_as_many_cells_as_its_header() -> None:
    """Markdown drops what has no header."""
    table = Table("t", "T", (closed_row("a", 1, rate=metric(1)), closed_row("b", 1, p50=metric(2))))
    assert (
        len({line.count("|") for line in render_table(table).splitlines() if line[:1] == "|"}) == 1
    )


def test_targets_compare_with_the_best_mode_of_the_best_peer() -> None:
    """The bar is the best peer's best mode with as many workers; what is missing is said to be."""
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
            closed_row("mosec, batched, 2 workers", 32, workers=2, rate=metric(9000.0)),
        ),
    )
    targets = {each.name: each for each in judge({"closed": closed}, "mlp", "mobile", ("mosec",))}
    met = {name: each.met for name, each in targets.items() if each.met is not None}
    assert met == {
        "lone client, mlp, default: p50 / best peer": True,
        "lone client, mlp, default: p50 / raw echo": True,
        "lone client, mlp, default: p99 / p50": False,
        "32 clients, mlp, default: rate / best peer (aim 1.5)": False,
        "32 clients, mlp, default: p99 / p50": True,
    }
    lone = targets["lone client, mlp, default: p50 / best peer"].measured
    assert lone == "0.375 (0.375–0.375), mosec, plain"
    many = targets["32 clients, mlp, default: rate / best peer (aim 1.5)"].measured
    assert many == "0.900 (0.900–0.900), mosec, batched"
    assert targets["swap: failed"].met is None


def test_two_workers_are_compared_with_two() -> None:
    """A configuration of ours on two workers never meets a peer on one, nor the other way round."""
    closed = Table(
        "closed",
        "Closed",
        (
            closed_row("edgeconsole", 32, workers=2, rate=metric(900.0)),
            closed_row("edgeconsole, one worker", 32, rate=metric(500.0)),
            closed_row("mosec, batched", 32, rate=metric(400.0)),
            closed_row("mosec, plain, 2 workers", 32, workers=2, rate=metric(950.0)),
            closed_row("mosec, batched, 2 workers", 32, workers=2, rate=metric(1000.0)),
        ),
    )
    targets = {each.name: each for each in judge({"closed": closed}, "mlp", "mobile", ("mosec",))}
    default = targets["32 clients, mlp, default: rate / best peer (aim 1.5)"]
    one = targets["32 clients, mlp, one worker: rate / best peer (aim 1.5)"]
    assert (default.met, default.measured) == (
        False,
        "0.900 (0.900–0.900), mosec, batched, 2 workers",
    )
    assert (one.met, one.measured) == (True, "1.25 (1.25–1.25), mosec, batched")


def test_the_bare_calls_meet_our_agent_on_one_worker() -> None:
    """The ideal is one process on one thread; two workers would be no match for it."""
    closed = Table(
        "closed",
        "Closed",
        (
            closed_row("edgeconsole", 32, model="mobile", workers=2, rate=metric(500.0)),
            closed_row("edgeconsole, one worker", 32, model="mobile", rate=metric(270.0)),
            Row("bare call, best batch", {"model": "mobile"}, {"rate": metric(300.0)}),
        ),
    )
    targets = {each.name: each for each in judge({"closed": closed}, "mlp", "mobile", ())}
    ideal = targets["32 clients, mobile, one worker: rate / best batch"]
    assert (ideal.met, ideal.measured) == (False, "0.900 (0.900–0.900)")


@pytest.mark.parametrize(("during", "met"), [(20.0, True), (20.1, False)])
def test_a_swap_is_judged_by_what_it_does_to_the_slowest_answers(
    *, during: float, met: bool
) -> None:
    """The p99 during a swap is at most twice the one before."""
    metrics = {"before p99": metric(10.0), "during p99": metric(during), "failed": metric(0)}
    table = Table("swap", "Swap", (Row("edgeconsole", {}, metrics),))
    targets = {each.name: each for each in judge({"swap": table}, "mlp", "mobile", ())}
    assert targets["swap: p99 during / before"].met is met
    assert targets["swap: failed"].met is True


def test_targets_on_figures_show_their_spread() -> None:
    """A median that meets its limit must not hide a round that does not."""
    refused = {"refused p99": metric(2.0, 3.0, 90.0, unit="ms")}
    table = Table("overload", "Overload", (Row("edgeconsole", {"workers": "2"}, refused),))
    targets = {each.name: each for each in judge({"overload": table}, "mlp", "mobile", ())}
    found = targets["overload, default: refusals, p99"]
    assert (found.met, found.measured) == (True, "3 [2.50–46.5]")


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
