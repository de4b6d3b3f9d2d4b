"""Which fleet file is used, and where its tokens and history are."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeconsole.errors import AuthError, ConfigError
from edgeconsole.fleet.inventory import Inventory, find_fleet_file, load_inventory

FLEET = """
name = "lab"
[[devices]]
id = "local"
url = "ws://127.0.0.1:1"
[[devices]]
id = "beside"
url = "ws://127.0.0.1:2"
token_file = "tokens/beside"
[[devices]]
id = "home"
url = "ws://127.0.0.1:3"
token_file = "~/home-token"
[[devices]]
id = "absolute"
url = "ws://127.0.0.1:4"
token_file = "/absolute/token"
"""


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the test a home, XDG folders and a working folder of its own."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("CONFIG", "STATE", "DATA"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    monkeypatch.delenv("EDGECONSOLE_FLEET", raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


@pytest.fixture
def inventory(tmp_path: Path) -> Inventory:
    """Return the inventory of a fleet file in a folder of its own."""
    path = tmp_path / "lab" / "fleet.toml"
    path.parent.mkdir()
    path.write_text(FLEET)
    return load_inventory(path)


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ("local", "{tmp}/state/edgeconsole/agents/local/token"),
        ("beside", "{tmp}/lab/tokens/beside"),
        ("home", "{tmp}/home/home-token"),
        ("absolute", "/absolute/token"),
    ],
)
def test_token_paths(inventory: Inventory, tmp_path: Path, device: str, expected: str) -> None:
    """A token lies where its entry says, beside the file; else where a local agent keeps its own."""
    found = next(each for each in inventory.spec.devices if each.id == device)
    assert inventory.token_path(found) == Path(expected.format(tmp=tmp_path))


def test_tokens_are_read_anew(inventory: Inventory, tmp_path: Path) -> None:
    """A token that is put in place or changed while the console runs is used at the next try."""
    device = inventory.spec.devices[1]
    with pytest.raises(AuthError, match="there is no token file") as caught:
        inventory.token(device)
    assert "copy it from the device" in caught.value.hint
    path = tmp_path / "lab" / "tokens" / "beside"
    path.parent.mkdir()
    for token in ("first", "second"):
        path.write_text(f"{token}\n")
        assert inventory.token(device) == token


@pytest.mark.parametrize("content", [b"\xff\xfe", None])
def test_a_token_that_cannot_be_read(
    inventory: Inventory, tmp_path: Path, content: bytes | None
) -> None:
    """Bytes that are no token, or a folder in its place, are an error that names the path."""
    path = tmp_path / "lab" / "tokens" / "beside"
    path.parent.mkdir()
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(AuthError, match="cannot be read") as caught:
        inventory.token(inventory.spec.devices[1])
    assert str(path) in caught.value.message


def test_a_home_that_is_not_there_is_explained(inventory: Inventory, tmp_path: Path) -> None:
    """The home of a user who does not exist is a mistake in the file, and is said to be one."""
    path = tmp_path / "lab" / "fleet.toml"
    path.write_text(FLEET.replace("~/home-token", "~no-such-user/token"))
    device = load_inventory(path).spec.devices[2]
    with pytest.raises(ConfigError, match="no-such-user") as caught:
        inventory.token_path(device)
    assert str(path) in caught.value.message


@pytest.mark.parametrize(
    ("line", "expected"),
    [("", "{tmp}/data/edgeconsole/history.db"), ('history = "h.db"', "{tmp}/lab/h.db")],
)
def test_history_path(inventory: Inventory, tmp_path: Path, line: str, expected: str) -> None:
    """The history lies where the file says, else in the user's data folder."""
    inventory.file.write_text(f"{line}\n{FLEET}")
    assert load_inventory(inventory.file).history_path == Path(expected.format(tmp=tmp_path))


def test_fleet_files_are_looked_for_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As given, else the environment's, else the one here, else the user's own; else an error."""
    given, environment, here, own = (
        tmp_path / "given.toml",
        tmp_path / "environment.toml",
        Path("fleet.toml"),
        tmp_path / "config" / "edgeconsole" / "fleet.toml",
    )
    with pytest.raises(ConfigError, match="no fleet file") as caught:
        find_fleet_file(None)
    assert str(own) in caught.value.message
    assert "--fleet FILE" in caught.value.hint
    own.parent.mkdir(parents=True)
    own.write_text(FLEET)
    assert find_fleet_file(None) == own
    here.mkdir()  # A folder of that name is not a fleet file.
    assert find_fleet_file(None) == own
    here.rmdir()
    here.write_text(FLEET)
    assert find_fleet_file(None) == here
    monkeypatch.setenv("EDGECONSOLE_FLEET", str(environment))
    assert find_fleet_file(None) == environment
    assert find_fleet_file(given) == given
    monkeypatch.setenv("EDGECONSOLE_FLEET", "")
    assert find_fleet_file(None) == here
