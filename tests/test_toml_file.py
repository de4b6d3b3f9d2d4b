"""A bad file is explained: which file and line, which key, what was expected, what to do."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgeconsole.errors import ConfigError
from edgeconsole.specs import EdgeAgentConfig, FleetSpec
from edgeconsole.toml_file import MAX_CONFIG_BYTES, load_toml

AGENT = 'agent_id = "bench-1"\n'
DEVICE = '[[devices]]\nid = "a"\nurl = "ws://127.0.0.1:1"\n'


class Wheel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The innermost of a nested kind."""

    size: int = 0


class Axle(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Holds an array of tables inside an array of tables."""

    wheels: tuple[Wheel, ...] = ()
    hub: Wheel = Wheel()


class Cart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Holds arrays of tables two deep."""

    axles: tuple[Axle, ...] = ()
    name: str = ""


def explain(path: Path, text: str | bytes, kind: type[msgspec.Struct]) -> ConfigError:
    """Return the error that loading `text` raises."""
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ConfigError) as caught:
        load_toml(path, kind)
    return caught.value


BAD: dict[str, tuple[type[msgspec.Struct], str, int | None, str, str]] = {
    "unknown key near a known one": (
        EdgeAgentConfig,
        AGENT + "[server]\n# a comment\nprot = 1\n",
        4,
        "server.prot: unknown key",
        "did you mean 'port'?",
    ),
    "unknown key near none": (
        EdgeAgentConfig,
        AGENT + "[server]\nzzz = 1\n",
        3,
        "server.zzz: unknown key",
        "known keys: host, port, token_file",
    ),
    "unknown key at the top": (
        EdgeAgentConfig,
        'deployment_teir = "cloud"\n' + AGENT,
        1,
        "deployment_teir: unknown key",
        "did you mean 'deployment_tier'?",
    ),
    "unknown table": (
        EdgeAgentConfig,
        AGENT + "\n[servr]\nport = 1\n",
        3,
        "servr: unknown key",
        "did you mean 'server'?",
    ),
    "wire name, not the attribute's": (
        EdgeAgentConfig,
        AGENT + "[device_spec]\n",
        2,
        "device_spec: unknown key",
        "device",
    ),
    "wrong type": (
        EdgeAgentConfig,
        AGENT + '[server]\nhost = "localhost"\nport = "7311"\n',
        4,
        "server.port: expected int, got str",
        "",
    ),
    "wrong type in the second of an array": (
        EdgeAgentConfig,
        AGENT + '[[models]]\nmodel_id = "a"\n\n[[models]]\nmodel_id = 3\n',
        6,
        "models[1].model_id: expected str, got int",
        "",
    ),
    "table where an array of tables is meant": (
        EdgeAgentConfig,
        AGENT + '[models]\nmodel_id = "a"\n',
        2,
        "models: expected array, got object",
        "",
    ),
    "date where text is meant": (FleetSpec, "name = 1979-05-27\n", 1, "name: expected str", ""),
    "missing at the top": (
        EdgeAgentConfig,
        'deployment_tier = "cloud"\n',
        None,
        "the key 'agent_id' is missing",
        "add agent_id = …",
    ),
    "missing in a table": (
        FleetSpec,
        DEVICE + '[[devices]]\nid = "b"\n',
        4,
        "devices[1]: the key 'url' is missing",
        "add url = …",
    ),
    "bad enum near a good one": (
        EdgeAgentConfig,
        AGENT + 'deployment_tier = "device-edge"\n',
        2,
        "'device-edge' is not one of cloud, regional_edge, local_edge, device_edge",
        "did you mean 'device_edge'?",
    ),
    "bad enum near none": (
        EdgeAgentConfig,
        AGENT + 'latency_requirement = "zzz"\n',
        2,
        "latency_requirement: 'zzz' is not one of real_time, near_real_time, interactive, batch",
        "",
    ),
    "bad enum in an array": (
        EdgeAgentConfig,
        AGENT + '[[models]]\nmodel_id = "a"\nsupported_optimizations = ["none", "prune"]\n',
        4,
        "models[0].supported_optimizations[1]: 'prune' is not one of",
        "did you mean 'pruning'?",
    ),
    "an engine there is not": (
        EdgeAgentConfig,
        AGENT + '[device]\nsupported_frameworks = ["onnxruntime", "int8"]\n',
        None,
        "supported_frameworks: 'int8' is not an engine; there are onnxruntime, openvino, litert",
        "",
    ),
    "no engine for packed models": (
        EdgeAgentConfig,
        AGENT + '[device]\nsupported_frameworks = ["openvino"]\n',
        None,
        "supported_frameworks must name onnxruntime",
        "",
    ),
    "out of range": (
        EdgeAgentConfig,
        AGENT + '[server]\nhost = "127.0.0.1"\nport = 70000\n',
        4,
        "server.port: port must be 0 to 65535, got 70000",
        "",
    ),
    "out of range by far": (
        EdgeAgentConfig,
        AGENT + "[server]\nport = 99999999999999999999999\n",
        3,
        "port must be 0 to 65535",
        "",
    ),
    "out of range in a table inside": (
        EdgeAgentConfig,
        AGENT + "[device]\n[device.compute_units]\ncpu_cores = 0\n",
        4,
        "device.compute_units.cpu_cores: cpu_cores must be at least 1",
        "",
    ),
    "disagreement between parts": (
        FleetSpec,
        DEVICE + DEVICE,
        None,
        "devices: 'a' is listed twice",
        "",
    ),
    "table below the second of an array": (
        FleetSpec,
        DEVICE + DEVICE.replace('"a"', '"b"') + "[devices.labels]\nrack = 3\n",
        7,
        "devices[1].labels: expected str, got int",
        "",
    ),
    "array below an array": (
        Cart,
        "[[axles]]\n[[axles.wheels]]\n[[axles]]\n[[axles.wheels]]\n[[axles.wheels]]\nsize = true\n",
        6,
        "axles[1].wheels[1].size: expected int, got bool",
        "",
    ),
    "table below an array": (
        Cart,
        "[[axles]]\n[axles.hub]\nsize = 1\n[[axles]]\n[axles.hub]\nseize = 1\n",
        6,
        "axles[1].hub.seize: unknown key",
        "did you mean 'size'?",
    ),
    "inline table": (
        Cart,
        'name = "x"\naxles = [{ hub = { size = "s" } }]\n',
        2,
        "axles[0].hub.size: expected int",
        "",
    ),
    "quoted key": (Cart, '"name" = 1\n', 1, "name: expected str, got int", ""),
    "line ends of another system": (Cart, "# x\r\n[[axles]]\r\nhubb = 1\r\n", 3, "hubb", "'hub'"),
    "line separators inside a string": (
        Cart,
        'name = "\u2028\u0085"\nnamed = 1\n',
        2,
        "named: unknown key",
        "did you mean 'name'?",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_settings_are_explained(case: str, tmp_path: Path) -> None:
    """The message has file:line, key and what was expected; the hint says what to do."""
    kind, text, line, message, hint = BAD[case]
    path = tmp_path / "bad.toml"
    error = explain(path, text, kind)
    where = f"{path}:{line}: " if line else f"{path}: "
    assert error.message.startswith(where)
    assert message in error.message
    assert hint in error.hint
    assert hint or not error.hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = \n", "line 1"),
        ('name = "a"\n\nname = "b"\n', "line 3"),
        ("[server\n", "line 1"),
        ("name = " + "1" * 5000, "not valid TOML"),
        ("name = " + "[" * 5000, "not valid TOML"),
        ("[" + "a." * 50_000 + "a]", "not valid TOML"),
    ],
)
def test_bad_toml_is_explained(text: str, message: str, tmp_path: Path) -> None:
    """What is no TOML is said to be none, with its line and a place to learn the language."""
    path = tmp_path / "bad.toml"
    error = explain(path, text, FleetSpec)
    assert error.message.startswith(f"{path}: not valid TOML")
    assert message in error.message
    assert "toml.io" in error.hint


def test_not_utf_8_is_explained(tmp_path: Path) -> None:
    """The first wrong byte is named."""
    error = explain(tmp_path / "bad.toml", b'name = "\xff"', FleetSpec)
    assert error.message == f"{tmp_path / 'bad.toml'}: not UTF-8 text (byte 8)"


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    """A file that cannot be a configuration is not read into memory."""
    error = explain(tmp_path / "big.toml", b"#" * (MAX_CONFIG_BYTES + 1), FleetSpec)
    assert "larger than" in error.message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "is a folder, expected a TOML file"),
        ("absent.toml", "there is no such file"),
        ("file/below.toml", "cannot be read: Not a directory"),
        ("loop.toml", "cannot be read: Too many levels of symbolic links"),
        ("n" * 300, "cannot be read: File name too long"),
    ],
)
def test_what_is_no_file_is_explained(name: str, message: str, tmp_path: Path) -> None:
    """Folders, absent files and paths that cannot be followed are told apart."""
    (tmp_path / "file").write_text("")
    (tmp_path / "loop.toml").symlink_to(tmp_path / "loop.toml")
    path = tmp_path / name
    with pytest.raises(ConfigError) as caught:
        load_toml(path, FleetSpec)
    assert caught.value.message == f"{path}: {message}"


def test_an_absent_file_has_a_hint(tmp_path: Path) -> None:
    """Whoever mistyped a path is told what to do."""
    with pytest.raises(ConfigError) as caught:
        load_toml(tmp_path / "absent.toml", FleetSpec)
    assert "check the path" in caught.value.hint


def test_a_good_file_becomes_a_spec(tmp_path: Path) -> None:
    """Nested tables arrive in the spec's attributes, with defaults for the rest."""
    path = tmp_path / "device.toml"
    path.write_text(
        AGENT + '[device]\nmemory_mb = 512\n[[models]]\nmodel_id = "digits"\ndeadline_ms = 5\n'
    )
    config = load_toml(path, EdgeAgentConfig)
    assert config.device_spec.memory_mb == 512
    assert config.model_specs[0].deadline_ms == 5.0
    assert config.server.port == 7311


WORDS = st.sampled_from(
    (
        *(
            "[",
            "]",
            "[[",
            "]]",
            "=",
            "\n",
            '"',
            "'",
            "{",
            "}",
            ",",
            ".",
            " ",
            "#",
            "\r\n",
            "\u2028",
        ),
        *("devices", "models", "server", "labels", "id", "url", "port", "agent_id", "name"),
        *("1", "-1", "nan", "inf", "true", "1979-05-27", '"a"', '"ws://a:1"', "0x7fffffffffffffff"),
    )
)


@given(
    text=st.one_of(st.text(), st.binary(), st.lists(WORDS, max_size=40).map("".join)),
    kind=st.sampled_from([EdgeAgentConfig, FleetSpec, Cart]),
)
@example(text="name=" + "9" * 5000, kind=FleetSpec)
@example(text="\ufeffname='a'", kind=FleetSpec)
@example(text="stale_after_s = nan", kind=FleetSpec)
def test_any_text_is_a_spec_or_a_config_error(
    text: str | bytes, kind: type[msgspec.Struct], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever stands in the file, nothing but `ConfigError` comes out, with the file's name."""
    path = tmp_path_factory.getbasetemp() / "arbitrary.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    try:
        assert isinstance(load_toml(path, kind), kind)
    except ConfigError as error:
        assert error.message.startswith(str(path))  # noqa: PT017
