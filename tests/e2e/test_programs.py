"""The two programs from the shell: what they print, how they end, and what they import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

ROOT = Path(__file__).parents[2]


def run(*arguments: object, cwd: Path | None = None, **environment: str):
    """Run one of the programs to its end."""
    return subprocess.run(
        [sys.executable, "-m", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=cwd,
        env={**os.environ, **environment},
        check=False,
    )


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        (
            "edgeconsole.runtime.cli",
            {"torch", "textual", "rich", "onnxruntime", "edgeconsole.fleet"},
        ),
        (
            "edgeconsole.runtime.agent",
            {"torch", "textual", "rich", "onnxruntime", "edgeconsole.tui"},
        ),
        ("edgeconsole.runtime.serving.worker", {"torch", "textual", "edgeconsole.fleet"}),
        ("edgeconsole.cli", {"torch", "textual", "onnxruntime", "edgeconsole.runtime"}),
        ("edgeconsole.commands.top", {"torch", "textual", "onnxruntime", "edgeconsole.runtime"}),
        ("edgeconsole.tui.app", {"torch", "onnxruntime", "edgeconsole.runtime"}),
        ("edgeconsole.client", {"torch", "textual", "onnxruntime", "edgeconsole.runtime"}),
        ("edgeconsole.packing", {"torch", "onnx", "textual"}),
        ("edgeconsole.protocol.inference", {"torch", "textual", "websockets", "asyncio"}),
    ],
)
def test_a_program_imports_only_what_is_its_own(module, forbidden):
    """Importing a program pulls in nothing of the other's, not even deferred in a package."""
    code = f"import sys, {module}; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & forbidden


def test_a_running_agent_has_imported_no_engine_and_no_screen(agents):
    """The supervisor, while it serves, maps neither torch nor ONNX Runtime; its workers no torch."""
    agent = agents.start(agents.write())
    maps = Path(f"/proc/{agent.process.pid}/maps").read_text()
    assert "onnxruntime" not in maps
    assert "libtorch" not in maps
    for pid in agent.worker_pids():
        assert "libtorch" not in Path(f"/proc/{pid}/maps").read_text()


def test_check_accepts_the_shipped_files():
    """`device.toml` and `fleet.toml` of the repository are valid as they are."""
    done = run("edgeconsole.runtime.cli", "--config", ROOT / "device.toml", "--check")
    assert (done.returncode, done.stderr) == (0, "")
    assert "ok" in done.stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('agent_id = "a"\n[server]\nprot = 1\n', "device.toml:3: server.prot: unknown key"),
        (
            'agent_id = "a"\n[server]\nport = "x"\n',
            "device.toml:3: server.port: expected int, got str",
        ),
        ('agent_id = "a"\n[[models]]\nmodel_id = "m"\nbundle = "gone"\n', "models[0].bundle"),
        ("agent_id = \n", "not valid TOML"),
    ],
)
def test_check_says_what_is_wrong_where_and_what_to_do(tmp_path, text, said):
    """A bad file ends with code 2 and one line on stderr, without a stack trace."""
    file = tmp_path / "device.toml"
    file.write_text(text)
    done = run("edgeconsole.runtime.cli", "--config", file, "--check")
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_second_agent_does_not_take_the_firsts_place(agents):
    """Another agent with the same state folder, or the same port, ends with a reason."""
    home = agents.write()
    agents.start(home)
    second = run("edgeconsole.runtime.cli", "--config", home / "device.toml")
    assert second.returncode == 2
    assert "another agent runs with this state folder" in second.stderr


def test_the_token_is_made_private(agents):
    """The token file is made at the first start, for its owner only, and kept."""
    home = agents.write()
    agent = agents.start(home)
    token = agent.token
    assert agent.token_file.stat().st_mode & 0o777 == 0o600
    assert len(token) >= 43
    agent.stop()
    assert agents.start(home).token == token


def test_infer_from_the_shell(shared_agent, heldout, tmp_path):
    """`edgeconsole infer` prints the right digit, and a sentence with code 2 when refused."""
    np.savez(tmp_path / "in.npz", image=heldout[0][:1])
    common = ("--input", tmp_path / "in.npz", "--token-file", shared_agent.token_file, "--json")
    done = run("edgeconsole", "infer", shared_agent.url, "digits", *common)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert int(np.argmax(answer["outputs"][0]["data"])) == heldout[1][0]
    assert (answer["rung"], answer["device"]) == ("primary", "dev-1")
    refused = run("edgeconsole", "infer", shared_agent.url, "cats", *common)
    assert refused.returncode == 2
    assert "no loaded model answers to 'cats'" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_models_and_top_from_the_shell(agents, tmp_path):
    """`models`, `unload`, `activate` and `top --once --json` work on a fleet file."""
    agent = agents.start(agents.write())
    fleet = tmp_path / "fleet.toml"
    fleet.write_text(
        f'history = "h.db"\n[[devices]]\nid = "dev-1"\nurl = "{agent.url}"\n'
        f'token_file = "{agent.token_file}"\n'
        '[[devices]]\nid = "absent"\nurl = "ws://127.0.0.1:9"\ntoken_file = "none"\n'
    )
    cli = ("edgeconsole", "--fleet", fleet)
    listed = json.loads(run(*cli, "models", "dev-1", "--json").stdout)["models"]
    assert {each["model"] for each in listed} == {"digits", "digits-tiny"}
    assert run(*cli, "unload", "dev-1", "digits-tiny").returncode == 0
    assert run(*cli, "activate", "dev-1", "digits-tiny/1/fp32").returncode == 0
    unknown = run(*cli, "models", "nobody")
    assert unknown.returncode == 2
    assert "'nobody' is not a device" in unknown.stderr
    top = run(*cli, "top", "--once", "--json")
    assert top.returncode == 2  # One device is absent.
    devices = {each["id"]: each for each in json.loads(top.stdout)["devices"]}
    assert devices["dev-1"]["state"] in ("ready", "processing")
    assert devices["dev-1"]["freshness"] == "live"
    assert devices["absent"]["freshness"] == "never"
    assert "token file" in devices["absent"]["link_reason"]
    assert devices["absent"]["p99_ms"] is None


def test_the_demo_without_a_screen(tmp_path):
    """The headless demo reads real digits on three devices, keeps history, leaves nothing running."""
    arguments = ("edgeconsole", "demo", "--headless", "--seconds", "5", "--json", "--dir", tmp_path)
    done = run(*arguments)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert len(report["devices"]) == 3
    for device in report["devices"]:
        assert set(device) == {
            "id",
            "state",
            "model",
            "variant",
            "requests",
            "correct",
            "accuracy",
            "p50_ms",
            "p99_ms",
        }
        # At the moment of the last look a request may be in hand.
        assert device["state"] in ("ready", "processing")
        assert device["model"] == "digits"
        assert device["requests"] > 10
        assert device["accuracy"] >= 0.9
        assert 0 < device["p50_ms"] <= device["p99_ms"]
    assert report["errors"] == 0
    assert report["history_rows"] >= 9
    assert Path(report["history_path"]).is_file()
    for process in psutil.process_iter(["cmdline"]):
        assert str(tmp_path) not in " ".join(process.info["cmdline"] or [])
    again = json.loads(run(*arguments).stdout)
    assert again["history_rows"] > report["history_rows"]


def test_a_killed_demo_takes_its_agents_along(tmp_path):
    """Even `kill -9` of the demo leaves no agent and no worker behind."""
    demo = subprocess.Popen(
        [sys.executable, "-m", "edgeconsole", "demo", "--headless", "--dir", tmp_path],
        stdout=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + 30
        while len(children := psutil.Process(demo.pid).children(recursive=True)) < 9:
            assert time.monotonic() < until
            time.sleep(0.05)
    finally:
        demo.kill()
        demo.wait(5)
    assert not psutil.wait_procs(children, timeout=15)[1]
