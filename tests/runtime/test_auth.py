"""The token file nobody else can read, and the checks of a handshake."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeconsole.errors import ConfigError
from edgeconsole.runtime import auth
from edgeconsole.runtime.auth import Authenticator, load_or_create_token

TOKEN = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the token is to be."""
    return tmp_path / "state" / "token"


def write(path: Path, content: bytes = TOKEN.encode(), mode: int = 0o600) -> None:
    """Write a token file."""
    path.parent.mkdir()
    path.write_bytes(content)
    path.chmod(mode)


@pytest.mark.parametrize("umask", [0o022, 0o000, 0o077])
def test_a_token_is_made_for_its_owner_alone(path: Path, umask: int) -> None:
    """Whatever the umask: 256 random bits in a file of mode 0600, the same at the next start."""
    before = os.umask(umask)
    try:
        token = load_or_create_token(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(token) >= 43  # 256 bits in base64.
    assert path.read_text().strip() == token
    assert load_or_create_token(path) == token


def test_tokens_differ(tmp_path: Path) -> None:
    """No two agents get the same token."""
    assert len({load_or_create_token(tmp_path / str(number)) for number in range(20)}) == 20


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o660, 0o666, 0o610, 0o601])
def test_a_token_open_to_others_is_refused(path: Path, mode: int) -> None:
    """Any right of the group or of others is too much; the remedy is named."""
    write(path, mode=mode)
    with pytest.raises(ConfigError, match=rf"can be read by others \(mode {mode:04o}\)") as caught:
        load_or_create_token(path)
    assert f"chmod 600 {path}" in caught.value.hint


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_the_owners_rights_are_free(path: Path, mode: int) -> None:
    """A token may be read-only for its owner."""
    write(path, TOKEN.encode() + b"\r\n", mode)
    assert load_or_create_token(path) == TOKEN


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"short",
        TOKEN[:31].encode(),
        TOKEN.encode() + b" and more",
        TOKEN.encode() + b"\n" + TOKEN.encode(),
        TOKEN.encode() + b"\x00",
        b"\xff" * 64,
        TOKEN.encode("utf-16"),
    ],
    ids=range(9),
)
def test_what_is_no_token_is_refused(path: Path, content: bytes) -> None:
    """Short, broken or binary content is not taken for a secret, and not replaced in silence."""
    write(path, content)
    with pytest.raises(ConfigError, match="at least 32 printable characters") as caught:
        load_or_create_token(path)
    assert "remove the file" in caught.value.hint
    assert path.read_bytes() == content


def folder(path: Path) -> None:
    """Put a folder in the token's place."""
    path.mkdir(parents=True)


def below_a_file(path: Path) -> None:
    """Put a file in the place of the token's folder."""
    path.parent.write_text("")


def dangling_link(path: Path) -> None:
    """Put a link to nowhere in the token's place."""
    path.parent.mkdir()
    path.symlink_to(path.parent / "elsewhere")


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (folder, "cannot be read"),
        (below_a_file, "cannot be read"),
        (dangling_link, "cannot be made"),
    ],
)
def test_a_place_that_cannot_hold_a_token(
    path: Path, prepare: Callable[[Path], None], message: str
) -> None:
    """The error names the path, and nothing is written through a link."""
    prepare(path)
    with pytest.raises(ConfigError, match=message) as caught:
        load_or_create_token(path)
    assert str(path) in caught.value.message
    assert not (path.parent / "elsewhere").exists()


@pytest.mark.parametrize(
    ("headers", "accepted"),
    [
        ([f"Bearer {TOKEN}"], True),
        ([f"bearer {TOKEN}"], True),
        ([f"Bearer  {TOKEN} "], True),
        ([f"Basic {TOKEN}"], False),
        ([TOKEN], False),
        ([f"Bearer {TOKEN}x"], False),
        ([f"Bearer {TOKEN[:-1]}"], False),
        ([f"Bearer {TOKEN.upper()}"], False),
        (["Bearer "], False),
        (["Bearer"], False),
        ([""], False),
        ([], False),
        ([f"Bearer {TOKEN}"] * 2, False),
        (["Bearer é"], False),
        (["Bearer \udcff"], False),
    ],
)
def test_only_the_token_is_accepted(headers: list[str], *, accepted: bool) -> None:
    """One `Authorization` header with the scheme and the whole token; raw bytes are no defect."""
    assert Authenticator(TOKEN).accepts(headers) is accepted


@given(st.lists(st.text(), max_size=2))
def test_other_headers_are_never_accepted(headers: list[str]) -> None:
    """No other text opens the door."""
    assert not Authenticator(TOKEN).accepts(headers)


class Clock:
    """A monotonic clock that moves when told."""

    now = 1000.0

    def monotonic(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Give the module under test a clock of its own."""
    clock = Clock()
    monkeypatch.setattr(auth, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


def test_delays_grow_with_failures(clock: Clock) -> None:
    """Five failures are free; then each costs twice the one before, up to the limit."""
    keeper = Authenticator(TOKEN)
    delays = [keeper.failed("10.0.0.1") for _ in range(12)]
    assert delays == [0.0] * 5 + [0.25, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0]


def test_addresses_are_delayed_apart(clock: Clock) -> None:
    """Whoever guesses slows down itself alone."""
    keeper = Authenticator(TOKEN)
    for _ in range(20):
        keeper.failed("10.0.0.1")
    assert keeper.failed("10.0.0.2") == 0.0


def test_failures_are_forgotten_after_a_minute(clock: Clock) -> None:
    """The count is over the last minute by the monotonic clock."""
    keeper = Authenticator(TOKEN)
    for _ in range(6):
        delay_s = keeper.failed("10.0.0.1")
    assert delay_s == 0.25
    clock.now += 59.9
    assert keeper.failed("10.0.0.1") == 0.5
    clock.now += 60.1
    assert keeper.failed("10.0.0.1") == 0.0


def test_memory_of_failures_is_bounded(clock: Clock) -> None:
    """A flood of addresses does not fill the memory."""
    keeper = Authenticator(TOKEN)
    for number in range(5000):
        keeper.failed(f"10.0.{number >> 8}.{number & 255}")
    assert len(keeper._failures) <= 1024
