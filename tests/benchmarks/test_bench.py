"""How rounds are interleaved, what modes peers run in, and what an overload comes to."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.bench import interleaved, worker_counts
from benchmarks.jobs import Endpoint, Outcome
from benchmarks.loads.overload import SHARE, _metrics, _Round
from benchmarks.peers import BATCHED, PLAIN, Launch, Mode, Peer, all_peers
from benchmarks.process import Processes, runs
from benchmarks.systems import Server


def test_every_other_round_goes_backwards() -> None:
    """Drift within a round must not always favour the same system."""
    order: list[str] = []
    results = interleaved(
        {name: lambda name=name: order.append(name) or len(order) for name in "abc"}, rounds=3
    )
    assert "".join(order) == "abc" + "cba" + "abc"
    assert results == {"a": [1, 6, 7], "b": [2, 5, 8], "c": [3, 4, 9]}


def test_every_peer_runs_with_one_worker_and_with_two() -> None:
    """Both of our peers can be given workers; a mode says how many if they are not one."""
    for peer in all_peers():
        labels = [mode.label for mode in peer.modes([2, 1, 1])]
        assert labels == ["plain", "batched", "plain, 2 workers", "batched, 2 workers"]


def test_a_peer_that_cannot_scale_keeps_to_one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is measured all the same, where one worker is what our agent has."""
    peer = all_peers()[0]
    monkeypatch.setattr(peer, "scales", False)
    assert peer.modes([1, 2]) == [Mode(PLAIN, 1), Mode(BATCHED, 1)]


@pytest.mark.parametrize("peer", all_peers(), ids=lambda peer: peer.name)
def test_a_peer_is_told_its_mode(peer: Peer) -> None:
    """Batching, workers and timeout reach the server's command line, in this order."""
    launch = Launch("python", Path("m.onnx"), 80, Mode(BATCHED, 2), 98)
    command = [
        "python",
        "-m",
        f"benchmarks.peers.{peer.name}",
        "m.onnx",
        "80",
        "batched",
        "2",
        "98",
    ]
    assert peer.command(launch) == command


def test_peers_get_the_workers_that_our_agent_has(tmp_path: Path) -> None:
    """Whatever number our agent chose, there is a peer's mode to compare it with."""
    with Processes(tmp_path) as processes:
        tree = processes.start([sys.executable, "-c", "input()"])
        agents = [
            Server("edgeconsole", "", Endpoint(1, ""), tree, b"", workers=count) for count in (4, 1)
        ]
        assert worker_counts(agents) == [1, 2, 4]
        assert [agent.setting for agent in agents] == [{"workers": "4"}, {"workers": "1"}]


def test_settling_waits_until_a_process_has_nothing_to_do(tmp_path: Path) -> None:
    """A server that is still loading must not be taken for a ready one."""
    busy = "import time; end = time.process_time() + 0.5\nwhile time.process_time() < end: pass\n"
    with Processes(tmp_path) as processes:
        tree = processes.start([sys.executable, "-c", busy + "time.sleep(60)"])
        tree.settle()
        assert tree.alive
        assert sum(tree.cpu_s().values()) >= 0.5


def test_processes_asked_to_end_are_all_gone_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that outlives the process that was started, and will not hear, is ended too."""
    monkeypatch.setattr("benchmarks.process._END_TIMEOUT_S", 0.5)
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    code = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', {deaf!r}])\n"
        "print('up', flush=True)\ntime.sleep(60)\n"
    )
    with Processes(tmp_path) as processes:
        tree = processes.start([sys.executable, "-c", code])
        while "up" not in tree.said():
            assert tree.alive
        members = tree.members()
        assert len(members) == 2
        tree.ask_to_end()
        tree.process.wait(10)
        processes.end(tree)
        assert not any(runs(member) for member in members)


def test_an_overload_is_summed_up_by_round() -> None:
    """Shares are of each round's own capacity; late answers are not in time; spread is shown."""
    ms = 1_000_000
    quick = Outcome(took_ns=[50 * ms] * 80 + [101 * ms] * 5, refused_ns=[2 * ms] * 9, seconds=1.0)
    slow = Outcome(took_ns=[50 * ms] * 60, refused_ns=[80 * ms] * 3, unanswered=4, seconds=1.0)
    metrics = _metrics([_Round(100.0, quick), _Round(100.0, quick), _Round(100.0, slow)])
    assert metrics[SHARE].rounds == (80.0, 80.0, 60.0)
    assert metrics[SHARE].value == 80.0
    assert metrics["refused p99"].value == 2.0
    assert metrics["refused p99"].rounds == (2.0, 2.0, 80.0)
    assert metrics["refused"].value == 21
    assert metrics["late"].value == 10
    assert metrics["never answered"].value == 4
