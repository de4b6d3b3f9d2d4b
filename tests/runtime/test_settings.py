"""`device.toml` as the agent uses it: every path absolute, every bundle looked at."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edgeconsole.demo.data import bundle_path
from edgeconsole.errors import ConfigError
from edgeconsole.runtime.config import check_settings, load_settings

AGENT = 'agent_id = "bench-1"\n'
MODEL = '[[models]]\nmodel_id = "{model}"\nbundle = "{bundle}"\n'


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where `device.toml` is to be, with a home and a state folder of the test's own."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "etc").mkdir()
    return tmp_path / "etc" / "device.toml"


@pytest.mark.parametrize(
    ("settings", "state_dir", "token_file"),
    [
        ("", "state/edgeconsole/agents/bench-1", "state/edgeconsole/agents/bench-1/token"),
        ('state_dir = "here"\n', "etc/here", "etc/here/token"),
        ('state_dir = "../up"\n', "etc/../up", "etc/../up/token"),
        ('state_dir = "~/s"\n', "home/s", "home/s/token"),
        (
            '[server]\ntoken_file = "secret"\n',
            "state/edgeconsole/agents/bench-1",
            "etc/secret",
        ),
    ],
)
def test_paths(file: Path, tmp_path: Path, settings: str, state_dir: str, token_file: str) -> None:
    """Relative paths are beside the file, `~` is the home, the default is the XDG state folder."""
    file.write_text(AGENT + settings)
    found = load_settings(file)
    assert (found.state_dir, found.token_file) == (tmp_path / state_dir, tmp_path / token_file)
    assert found.config.agent_id == "bench-1"
    assert found.file == file


def test_paths_are_absolute_from_a_relative_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent that changes its folder later still finds its things."""
    file.write_text(AGENT + 'state_dir = "here"\n')
    monkeypatch.chdir(file.parent)
    assert load_settings(Path(file.name)).state_dir == file.parent / "here"


def test_the_home_of_nobody_is_a_mistake_in_the_file(file: Path) -> None:
    """A home folder that does not exist is refused with the file's name."""
    file.write_text(AGENT + 'state_dir = "~no-such-user/x"\n')
    with pytest.raises(ConfigError, match="no-such-user") as caught:
        load_settings(file)
    assert str(file) in caught.value.message


def test_bundle_paths(file: Path) -> None:
    """A bundle is beside the file; a model without one is in the store already."""
    file.write_text(
        AGENT + MODEL.format(model="a", bundle="bundles/a") + '[[models]]\nmodel_id = "b"\n'
    )
    settings = load_settings(file)
    paths = [settings.bundle_path(spec) for spec in settings.config.model_specs]
    assert paths == [file.parent / "bundles" / "a", None]


def test_good_bundles_pass_the_check(file: Path) -> None:
    """What the check finds right is not touched and not complained about."""
    text = MODEL.format(model="digits", bundle=bundle_path("digits"))
    file.write_text(AGENT + text + '[[models]]\nmodel_id = "in-the-store"\n')
    assert check_settings(load_settings(file)) is None


@pytest.mark.parametrize(
    ("model", "bundle", "message"),
    [
        ("digits", "absent", "absent: does not exist"),
        ("digits", "damaged", "model.onnx"),
        ("digits", "stranger", "which the manifest does not list"),
        ("other", "good", "holds the model 'digits', expected 'other'"),
    ],
)
def test_bad_bundles_fail_the_check(file: Path, model: str, bundle: str, message: str) -> None:
    """The check names the file, the entry, and what is wrong with the bundle."""
    for name in ("good", "damaged", "stranger"):
        shutil.copytree(bundle_path("digits"), file.parent / name)
    data = (file.parent / "damaged" / "model.onnx").read_bytes()
    (file.parent / "damaged" / "model.onnx").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    (file.parent / "stranger" / "extra.py").write_text("")
    first = MODEL.format(model="digits-tiny", bundle=bundle_path("digits-tiny"))
    file.write_text(AGENT + first + MODEL.format(model=model, bundle=bundle))
    with pytest.raises(ConfigError) as caught:
        check_settings(load_settings(file))
    assert caught.value.message.startswith(f"{file}: models[1].bundle: ")
    assert message in caught.value.message
