"""A job's folder: nothing is done twice, and nothing is believed where it does not hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgeconsole.errors import StoreError
from edgeconsole.runtime.optimizer.ledger import (
    Built,
    Judgement,
    Ledger,
    Timed,
    job_key,
    one_at_a_time,
)


def test_what_is_known_is_not_made_again(tmp_path: Path) -> None:
    """A job that goes on after an interruption finds what it had built, judged and timed."""
    ledger = Ledger(tmp_path / "job")
    (ledger.folder / "a.onnx").write_bytes(b"model")
    built = Built("a", "float", model="a.onnx", note="4 of 4")
    assert ledger.built("a", lambda: built) == built
    assert ledger.judged("a", lambda: Judgement(0.9, 0.1, (0.0, 0.2), 0.99)).drop == 0.1
    ledger.time("a", Timed(p50_ms=1.5))

    def never() -> Built:
        raise AssertionError("it was made again")

    again = Ledger(tmp_path / "job")
    assert again.built("a", never) == built
    assert again.judged("a", never).drop_ci == (0.0, 0.2)  # type: ignore[arg-type]
    timed = again.timed("a")
    assert timed is not None
    assert timed.p50_ms == 1.5
    assert again.timed("b") is None


@pytest.mark.parametrize("damage", [b"", b"{", b'{"name": 3}', b"\xff" * 40])
def test_damaged_records_are_made_again(tmp_path: Path, damage: bytes) -> None:
    """A record that cannot be read, or whose model file is gone, counts for nothing."""
    ledger = Ledger(tmp_path / "job")
    built = Built("a", "float", model="a.onnx")
    for _ in range(2):
        (ledger.folder / "a.onnx").write_bytes(b"model")
        assert ledger.built("a", lambda: built) == built
        (ledger.folder / "built-a.json").write_bytes(damage)
    calls = []
    (ledger.folder / "a.onnx").unlink()
    ledger.built("a", lambda: calls.append(1) or built)  # type: ignore[func-returns-value]
    assert calls


def test_failures_are_kept_as_well(tmp_path: Path) -> None:
    """What could not be built is not tried again by the same job."""
    ledger = Ledger(tmp_path / "job")
    failed = Built("a", "static int8", failure="no such operator")
    ledger.built("a", lambda: failed)
    assert ledger.built("a", lambda: Built("a", "")) == failed


def test_what_time_cut_short_is_tried_again(tmp_path: Path) -> None:
    """A failure that a longer budget might not have had is not kept."""
    ledger = Ledger(tmp_path / "job")
    late = Built("a", "pruned", failure="no time was left", for_want_of_time=True)
    assert ledger.built("a", lambda: late) == late
    done = Built("a", "pruned", note="built")
    assert ledger.built("a", lambda: done) == done


def test_results_hold_only_for_the_same_bundle_level_and_device() -> None:
    """Another engine version is another fingerprint, and so another folder."""
    keys = {
        job_key("d1", "f1", "none", 1.0),
        job_key("d2", "f1", "none", 1.0),
        job_key("d1", "f2", "none", 1.0),
        job_key("d1", "f1", "quantization", 1.0),
        job_key("d1", "f1", "none", 2.0),
    }
    assert len(keys) == 5
    assert job_key("d1", "f1", "none", 1.0) in keys


def test_a_full_or_read_only_disk_is_said(tmp_path: Path) -> None:
    """The error names the file and what to do."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be made"):
        Ledger(tmp_path / "file" / "job")
    ledger = Ledger(tmp_path / "job")
    ledger.folder.rmdir()
    with pytest.raises(StoreError, match=r"timed-a\.json: cannot be written"):
        ledger.time("a", Timed())


def test_one_job_measures_at_a_time(tmp_path: Path) -> None:
    """A second one waits until the first has ended, and says so."""
    hold = (
        "import sys, pathlib\n"
        "from edgeconsole.runtime.optimizer.ledger import one_at_a_time\n"
        "with one_at_a_time(pathlib.Path(sys.argv[1]), lambda: None):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        waited = []

        def waits() -> None:
            waited.append(True)
            assert other.stdin is not None
            other.stdin.close()

        with one_at_a_time(tmp_path, waits):
            assert waited
            assert other.wait(10) == 0
    with one_at_a_time(tmp_path, lambda: pytest.fail("nobody else has it")):
        pass
