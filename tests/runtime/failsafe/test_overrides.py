"""Overrides: in force at once, through restarts, until their time is over and never longer."""

from __future__ import annotations

import pytest

from edgeconsole.errors import StoreError
from edgeconsole.protocol.control import Force, Release
from edgeconsole.protocol.failsafe import OverrideKind
from edgeconsole.runtime.failsafe import overrides as module
from edgeconsole.runtime.failsafe.overrides import (
    CHECKPOINT_S,
    Overrides,
    boot_clock_s,
    this_boot,
)
from edgeconsole.runtime.outcomes import MAX_COMMANDS

HOUR_S = 3600.0


class Machine:
    """A device's clocks and its state folder."""

    def __init__(self, folder):
        self.file = folder / "overrides.json"
        self.boot = "boot-1"
        self.boot_s = 1000.0
        self.unix_s = 1.75e9

    def open(self) -> Overrides:
        """Start an agent's overrides."""
        return Overrides(
            self.file, boot=self.boot, clock=lambda: self.boot_s, wall=lambda: self.unix_s
        )

    def wait(self, seconds: float) -> None:
        """Let time pass on both clocks."""
        self.boot_s += seconds
        self.unix_s += seconds

    def reboot(self, off_s: float = 0.0) -> None:
        """Begin a new boot, after some time off."""
        self.boot += "'"
        self.boot_s = 5.0
        self.unix_s += off_s


@pytest.fixture
def machine(tmp_path):
    """Return a machine with an empty state folder."""
    return Machine(tmp_path)


def force(number=1, *, kind=OverrideKind.FALLBACK, model="", for_s=HOUR_S):
    """Return a command with an id of its own."""
    return Force("1", f"command-{number}", kind, "kim", "tests", for_s, model)


def release(number=100, model="", kind=None):
    """Return a release with an id of its own."""
    return Release("1", f"command-{number}", "kim", "done", model, kind)


def test_an_override_says_who_why_and_until_when(machine) -> None:
    """Actor, reason, kind and times are those of the command and of the agent's clock."""
    ours = machine.open()
    assert "all models" in ours.force(force())
    held = ours.current("digits")
    assert (held.kind, held.actor, held.reason, held.model) == (
        OverrideKind.FALLBACK,
        "kim",
        "tests",
        "",
    )
    assert (held.issued_unix_s, held.until_unix_s) == (1.75e9, 1.75e9 + HOUR_S)


def test_an_override_ends_with_its_time(machine) -> None:
    """A moment before its end it holds, at its end it does not; what ended is told once."""
    ours = machine.open()
    ours.force(force())
    machine.wait(HOUR_S - 0.001)
    assert ours.current("m") is not None
    assert ours.drop_ended() == []
    machine.wait(0.001)
    assert ours.current("m") is None
    assert [each.command_id for each in ours.drop_ended()] == ["command-1"]
    assert ours.drop_ended() == []


def test_a_command_counts_once(machine) -> None:
    """Sent again it gives the same sentence, prolongs nothing, and does not undo a release."""
    ours = machine.open()
    first = ours.force(force())
    machine.wait(1800.0)
    assert ours.force(force()) == first
    assert ours.current("m").until_unix_s == 1.75e9 + HOUR_S
    ours.release(release())
    assert ours.force(force()) == first
    assert ours.current("m") is None
    ours.force(force(2))
    assert "released" in ours.release(release())
    assert ours.current("m") is not None


def test_a_command_counts_once_across_restarts(machine) -> None:
    """An agent that restarted knows what it did."""
    ours = machine.open()
    first = ours.force(force())
    ours.release(release())
    ours.save()
    again = machine.open()
    assert again.force(force()) == first
    assert again.current("m") is None


def test_a_restart_changes_nothing(machine) -> None:
    """On the same boot the end is the same moment, whatever the wall clock did meanwhile."""
    ours = machine.open()
    ours.force(force())
    ours.save()
    machine.wait(600.0)
    machine.unix_s -= 86_400.0
    again = machine.open()
    assert again.current("m") is not None
    machine.wait(HOUR_S - 600.0)
    assert again.current("m") is None


@pytest.mark.parametrize("jump_s", [-3.2e8, -86_400.0, 86_400.0, 3.2e8])
def test_a_wall_clock_that_jumps_moves_no_end(machine, jump_s) -> None:
    """A day or ten years in either direction neither ends nor prolongs a running override."""
    ours = machine.open()
    ours.force(force())
    machine.unix_s += jump_s
    machine.wait(HOUR_S - 1.0)
    assert ours.current("m") is not None
    machine.wait(1.0)
    assert ours.current("m") is None


def test_after_a_reboot_the_time_off_counts(machine) -> None:
    """What was left at the last checkpoint, less the time the device was off."""
    ours = machine.open()
    ours.force(force())
    machine.wait(600.0)
    ours.save()
    machine.reboot(off_s=900.0)
    again = machine.open()
    assert again.current("m").until_unix_s == pytest.approx(1.75e9 + HOUR_S)
    machine.wait(HOUR_S - 1500.0)
    assert again.current("m") is None


def test_after_a_reboot_a_clock_set_back_extends_by_no_more_than_was_left(machine) -> None:
    """A clock that says 1970 after a reboot leaves what was left, not more."""
    ours = machine.open()
    ours.force(force())
    machine.wait(600.0)
    ours.save()
    machine.reboot()
    machine.unix_s = 0.0
    again = machine.open()
    machine.wait(HOUR_S - 600.0 - 1.0)
    assert again.current("m") is not None
    machine.wait(1.0)
    assert again.current("m") is None


def test_after_a_reboot_a_clock_set_forward_ends_early(machine) -> None:
    """Ten years later by the wall clock, nothing is forced any more."""
    ours = machine.open()
    ours.force(force())
    ours.save()
    machine.reboot(off_s=3.2e8)
    assert machine.open().current("m") is None


def test_a_machine_without_a_boot_id_counts_as_rebooted(machine) -> None:
    """Where the kernel does not tell boots apart, the end is not taken for one of this boot."""
    machine.boot = ""
    ours = machine.open()
    ours.force(force())
    ours.save()
    machine.boot_s = 5.0
    machine.unix_s += HOUR_S
    assert machine.open().current("m") is None


def test_what_stops_more_wins(machine) -> None:
    """Of an override on all models and one on this, the deeper one holds; others are not touched."""
    ours = machine.open()
    ours.force(force(1, kind=OverrideKind.FALLBACK))
    ours.force(force(2, kind=OverrideKind.FAILSAFE, model="a"))
    assert ours.current("a").kind is OverrideKind.FAILSAFE
    assert ours.current("b").kind is OverrideKind.FALLBACK
    ours.force(force(3, kind=OverrideKind.MAINTENANCE))
    assert ours.current("a").kind is OverrideKind.MAINTENANCE


def test_a_new_override_takes_the_place_of_the_one_before(machine) -> None:
    """One override a model: the latest."""
    ours = machine.open()
    ours.force(force(1, kind=OverrideKind.FAILSAFE, model="a"))
    ours.force(force(2, kind=OverrideKind.FALLBACK, model="a", for_s=10.0))
    assert ours.current("a").kind is OverrideKind.FALLBACK
    machine.wait(10.0)
    assert ours.current("a") is None


def test_release_says_what_it_ended(machine) -> None:
    """One model's override, all of them, or nothing: the sentence is true."""
    ours = machine.open()
    assert ours.release(release(100)) == "nothing was forced"
    ours.force(force(1))
    assert "goes on" in ours.release(release(101, model="a"))
    assert ours.current("a") is not None
    ours.force(force(2, model="a"))
    assert ours.release(release(102, model="a")) == "released: a"
    ours.force(force(3, model="a"))
    assert ours.release(release(103)) == "released: all models, a"
    assert ours.current("a") is None


def test_release_of_a_kind_leaves_the_others(machine) -> None:
    """Who ends a failsafe does not end somebody else's fallback, and is told that it goes on."""
    ours = machine.open()
    ours.force(force(1, model="a", kind=OverrideKind.FALLBACK))
    ours.force(force(2, model="b", kind=OverrideKind.FAILSAFE))
    said = ours.release(release(100, model="a", kind=OverrideKind.FAILSAFE))
    assert said == "failsafe was not forced; fallback by kim goes on"
    assert ours.release(release(101, kind=OverrideKind.FAILSAFE)) == "released: b"
    assert ours.current("a").kind is OverrideKind.FALLBACK
    assert ours.release(release(102, kind=OverrideKind.FALLBACK)) == "released: a"
    assert ours.release(release(103, kind=OverrideKind.FALLBACK)) == "nothing was forced"


def test_memory_of_commands_is_bounded(machine) -> None:
    """The latest outcomes are kept, the oldest is forgotten."""
    ours = machine.open()
    for number in range(MAX_COMMANDS + 1):
        ours.force(force(number))
    assert ours.outcome("command-0") is None
    assert ours.outcome("command-1") is not None


def test_a_checkpoint_is_due_while_something_is_forced(machine) -> None:
    """What is left is written once a minute, and only then."""
    ours = machine.open()
    machine.wait(CHECKPOINT_S)
    assert not ours.wants_checkpoint
    ours.force(force())
    assert ours.wants_checkpoint
    ours.save()
    assert not ours.wants_checkpoint
    machine.wait(CHECKPOINT_S)
    assert ours.wants_checkpoint


def test_a_disk_that_refuses_leaves_it_in_force(machine, monkeypatch) -> None:
    """A failsafe must work on a full disk; that it will not survive is said."""

    def refuse(*_args, **_named):
        raise OSError(28, "No space left on device")

    ours = machine.open()
    ours.force(force())
    monkeypatch.setattr(module, "write_durably", refuse)
    with pytest.raises(StoreError, match="No space left"):
        ours.save()
    assert ours.current("m") is not None


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"boot":1}', b"\xff\xfe"])
def test_a_damaged_file_is_an_error_with_a_remedy(machine, data) -> None:
    """It is not taken for "nothing is forced"."""
    machine.file.write_bytes(data)
    with pytest.raises(StoreError, match="cannot be read"):
        machine.open()


def test_the_real_clocks_work() -> None:
    """The clock of time since boot goes forward, and this machine tells its boots apart."""
    assert boot_clock_s() <= boot_clock_s()
    assert this_boot() == this_boot()
