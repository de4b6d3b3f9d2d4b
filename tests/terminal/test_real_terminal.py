"""The console in real terminals, where keys come in bursts and windows change their size."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from terminals import PtyTerminal, Terminal, TmuxTerminal, tmux_installed, wait_for

SCRIPT = Path(__file__).resolve().parent / "console_app.py"
Start = Callable[..., Terminal]


@pytest.fixture(params=["pty", "tmux"])
def terminal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Terminal]:
    """Open a terminal of each kind."""
    if request.param == "tmux" and not tmux_installed():
        pytest.skip("tmux is not installed")
    made: Terminal = PtyTerminal() if request.param == "pty" else TmuxTerminal(tmp_path)
    yield made
    made.close()


@pytest.fixture
def probe(tmp_path: Path) -> Path:
    """Name the file that `Z` writes to."""
    return tmp_path / "probe"


@pytest.fixture
def start(terminal: Terminal, probe: Path) -> Start:
    """Start the console and wait until it can be seen."""

    def run(fleet: str = "lab", columns: int = 120, rows: int = 40) -> Terminal:
        command = [
            "env",
            f"PYTHONPATH={Path.cwd()}",
            sys.executable,
            str(SCRIPT),
            str(probe),
            fleet,
        ]
        terminal.start(command, columns, rows)
        name = "[/nope]" if fleet == "hostile" else "dock-0188"
        wait_for(terminal, lambda shown: "4 Hz" in shown and name in shown, "the console")
        return terminal

    return run


def prompt_of(picture: str) -> str:
    """Return what is in the prompt, with its sign."""
    found = re.search(r"^ ([:/].*?)\s*$", picture, re.MULTILINE)
    return found[1] if found else ""


def assert_left(terminal: Terminal) -> None:
    """Check that the console ended well and gave the terminal back."""
    picture = wait_for(terminal, lambda shown: "exit code" in shown, "the exit code")
    assert "exit code 0" in picture
    assert "EdgeConsole" not in picture
    wait_for(
        terminal, lambda shown: "icanon" in shown and "-icanon" not in shown, "a sane terminal"
    )


def test_q_quits_and_gives_the_terminal_back(start: Start) -> None:
    """`q` ends with 0, and neither the alternate screen nor raw mode stay."""
    terminal = start()
    terminal.send("q")
    assert_left(terminal)


def test_ctrl_c_quits_even_from_the_prompt(start: Start) -> None:
    """Ctrl-C is the way out wherever one is."""
    terminal = start()
    terminal.send("/dock")
    wait_for(terminal, lambda picture: prompt_of(picture) == "/dock", "the filter")
    terminal.send("\x03")
    assert_left(terminal)


def test_the_probe_fires_when_it_is_meant(start: Start, probe: Path) -> None:
    """The key of the following tests does work, so that their silence means something."""
    terminal = start()
    terminal.send("Z")
    wait_for(terminal, lambda _: probe.exists(), "the probe")
    assert probe.read_text() == "fired\n"


@pytest.mark.parametrize("sign", [":", "/"])
def test_type_ahead_goes_to_the_prompt(start: Start, probe: Path, sign: str) -> None:
    """A sign and keys with a meaning, written at once, all arrive in the prompt and do nothing."""
    terminal = start()
    terminal.send(f"{sign}Zqzs pZZ")
    picture = wait_for(terminal, lambda shown: "pZZ" in prompt_of(shown), "the text")
    assert prompt_of(picture) == f"{sign}Zqzs pZZ"
    assert "PAUSED" not in picture
    terminal.send("\x1b")
    wait_for(terminal, lambda shown: prompt_of(shown) == "", "the prompt gone")
    terminal.send("q")
    assert_left(terminal)
    assert not probe.exists()


def test_a_command_written_at_once_runs(start: Start, probe: Path) -> None:
    """`:device NAME` and Enter in one write open the device and fire nothing."""
    terminal = start()
    terminal.send(":device cart-0001\r")
    wait_for(terminal, lambda shown: "fleet › cart-0001" in shown, "the device")
    assert not probe.exists()


def test_keys_behind_an_opening_screen_change_nothing(start: Start, probe: Path) -> None:
    """What is typed behind Enter or `?` was not meant for the screen that opens."""
    terminal = start()
    terminal.send("\rZZ")
    wait_for(terminal, lambda shown: "fleet › dock-0188" in shown, "the device")
    terminal.send("?ZZ")
    wait_for(terminal, lambda shown: "Esc closes" in shown, "the help")
    terminal.send("\x1b")
    wait_for(terminal, lambda shown: "Esc closes" not in shown, "the help gone")
    terminal.send(":fleet\rZZ")
    wait_for(terminal, lambda shown: "worst first" in shown, "the fleet")
    terminal.send("/cart\rZZ")
    wait_for(terminal, lambda shown: "2 of 10" in shown and not prompt_of(shown), "the filter")
    terminal.send("q")
    assert_left(terminal)
    assert not probe.exists()


@pytest.mark.parametrize(
    ("key", "behind"),
    [
        pytest.param("F", "YYYY", id="yes"),
        pytest.param("F", "\t\t\t\rYY", id="the button"),
        pytest.param("B", "smoke\tY\r", id="text"),
        pytest.param("R", "\t\t\rY", id="release"),
        pytest.param("F", "x" * 400 + "\t\t\t\rY", id="a flood"),
    ],
)
def test_nothing_typed_ahead_gives_an_order(
    start: Start, probe: Path, key: str, behind: str
) -> None:
    """`F` and whatever follows, written at once: however it looks, nobody has read the dialog."""
    terminal = start("fallen")
    terminal.send(key + behind)
    wait_for(terminal, lambda shown: "Esc leaves it" in shown, "the dialog")
    terminal.send("\x1b")
    wait_for(terminal, lambda shown: "Esc leaves it" not in shown, "the dialog gone")
    terminal.send("q")
    assert_left(terminal)
    assert not probe.exists()


def test_an_order_is_given_when_it_is_meant(start: Start, probe: Path) -> None:
    """`F`, a look at the dialog, a reason and `Y`: so that the silence above means something."""
    terminal = start("fallen")
    terminal.send("F")
    wait_for(terminal, lambda shown: ":failsafe on dock-0188 --for 30m" in shown, "the dialog")
    terminal.send("\tsmoke in hall 2\t\t")
    wait_for(terminal, lambda shown: "--reason 'smoke in hall 2'" in shown, "the reason")

    def given(_: str) -> bool:
        # Until the dialog has been there for a moment the key is refused.
        terminal.send("" if probe.exists() else "Y")
        return probe.exists()

    wait_for(terminal, given, "the order")
    assert probe.read_text() == "failsafe on dock-0188: smoke in hall 2\n"
    wait_for(terminal, lambda shown: "failsafe on: 1 acknowledged" in shown, "the outcome")
    terminal.send("e")
    wait_for(terminal, lambda shown: "31 of 50 calls" in shown, "why")
    terminal.send(":audit\r")
    wait_for(terminal, lambda shown: "no static answer is declared" in shown, "the audit")
    terminal.send("q")
    assert_left(terminal)


def test_an_optimisation_is_ordered_when_it_is_meant(start: Start, probe: Path) -> None:
    """`O` and keys behind it order nothing; a field that is typed into, and `Y`, order that."""
    terminal = start("lab", 80, 24)
    terminal.send("O" + "Y" * 20)
    wait_for(terminal, lambda shown: ":optimize yolo-n --on dock-0188" in shown, "the form")
    terminal.send("\x1b")
    wait_for(terminal, lambda shown: "Esc leaves it" not in shown, "the form gone")
    assert not probe.exists()
    terminal.send(":optimize --budget 9s\r")
    wait_for(terminal, lambda shown: "9s is not between 10s and 24h" in shown, "the complaint")
    terminal.send("\x15optimize yolo-n --level quantization --budget 90s\r")
    wait_for(terminal, lambda shown: "--level quantization" in shown, "the form filled in")
    # From Cancel over model, on, level and objective to what it may lose.
    terminal.send("\t" * 5 + "\x150.25")
    wait_for(terminal, lambda shown: "--max-drop 0.25" in shown.replace("\n", ""), "the drop")
    terminal.send("\x1b[Z" * 5)

    def given(_: str) -> bool:
        # Until the form has been there for a moment the key is refused.
        given = probe.exists() and probe.read_text().endswith("\n")
        terminal.send("" if probe.exists() else "Y")
        return given

    wait_for(terminal, given, "the order")
    assert probe.read_text() == "optimize dock-0188: no reason given\n"
    wait_for(terminal, lambda shown: "fleet › dock-0188 › jobs" in shown, "the jobs")
    terminal.send("3")
    wait_for(terminal, lambda shown: "fleet › models" in shown and "fused" in shown, "the models")
    terminal.send("j\r")
    wait_for(terminal, lambda shown: "job-3 on dock-0188" in shown, "what the job found")
    terminal.send("\x1b[6~" * 2)
    wait_for(terminal, lambda shown: "int8-dynamic↑" in shown, "the plot")
    terminal.send("q")
    assert_left(terminal)


def test_resizing_is_live(start: Start) -> None:
    """The columns follow the window; a window too small says what is needed."""
    terminal = start()
    wait_for(terminal, lambda shown: "p50" in shown, "the columns")
    terminal.resize(80, 24)
    wait_for(terminal, lambda shown: "p50" not in shown and "p99" in shown, "fewer columns")
    terminal.resize(50, 12)
    message = ("too small", "50x12", "60x16")
    picture = wait_for(
        terminal, lambda shown: all(part in shown for part in message), "the message"
    )
    assert "dock-0188" not in picture
    terminal.resize(200, 50)
    wait_for(terminal, lambda shown: "mem%" in shown and "latency ms" in shown, "all columns")


def test_hostile_texts_do_not_reach_the_terminal(start: Start) -> None:
    """Escapes and markup in device texts are shown, not obeyed."""
    terminal = start("hostile")
    names = ("[/nope]", "\\x1b[31m")
    wait_for(terminal, lambda shown: all(name in shown for name in names), "the names")
    terminal.send("\r")
    wait_for(terminal, lambda shown: "fleet › " in shown, "the device")
    terminal.send("q")
    assert_left(terminal)


def test_a_terminal_that_goes_away_ends_the_console(probe: Path) -> None:
    """Also where hang-ups are ignored: nothing goes on in the background without a terminal."""
    command = f"trap '' HUP; exec {sys.executable} {SCRIPT} {probe} lab"
    terminal = PtyTerminal()
    terminal.start(["env", f"PYTHONPATH={Path.cwd()}", "/bin/sh", "-c", command], 120, 40)
    try:
        wait_for(terminal, lambda shown: "dock-0188" in shown, "the console")
        consoles = [
            each
            for each in psutil.process_iter(["cmdline"])
            if str(probe) in (each.info["cmdline"] or [])
            and each.info["cmdline"][0] == sys.executable
        ]
        assert len(consoles) == 1
    finally:
        terminal.hang_up()
    _, alive = psutil.wait_procs(consoles, timeout=10)
    for each in alive:
        each.kill()
    assert not alive
