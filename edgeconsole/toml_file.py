"""Reads a TOML file into a spec, with errors that name the file, the line, the key and the remedy."""

from __future__ import annotations

import difflib
import re
import types
import typing
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import tomli

from edgeconsole.errors import ConfigError

T = TypeVar("T", bound=msgspec.Struct)

MAX_CONFIG_BYTES: Final = 1 << 20
_AT: Final = re.compile(r" - at `\$(?P<path>[^`]*)`$")
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(?P<field>[^`]*)`")
_MISSING: Final = re.compile(r"Object missing required field `(?P<field>[^`]*)`")
_ENUM: Final = re.compile(r"Invalid enum value (?P<value>.*)")
_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")
_HEADER: Final = re.compile(r"\s*(\[\[?)\s*([^\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY: Final = re.compile(r"""\s*(?:"([^"]+)"|'([^']+)'|([A-Za-z0-9_-]+))\s*[=.]""")

Step = str | int


def load_toml(path: Path, kind: type[T]) -> T:
    """Read `path` as a `kind`; raises `ConfigError` that says what is wrong, where and what to do."""
    text = _read(path)
    try:
        data = tomli.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}", hint="see https://toml.io") from error
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        raise _explain(path, text, kind, str(error)) from error


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_CONFIG_BYTES} bytes; not a configuration")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path}: there is no such file", hint="check the path, or start from the example"
        ) from error
    except IsADirectoryError as error:
        raise ConfigError(f"{path}: is a folder, expected a TOML file") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error


def _explain(path: Path, text: str, kind: type[msgspec.Struct], message: str) -> ConfigError:
    """Turn msgspec's message into one for people."""
    at = _AT.search(message)
    steps: list[Step] = []
    if at is not None:
        message = message[: at.start()]
        steps = [name or int(index) for name, index in _STEP.findall(at["path"])]
    hint = ""
    if unknown := _UNKNOWN.search(message):
        field = unknown["field"]
        known = _field_names(kind, steps)
        near = difflib.get_close_matches(field, known, n=1)
        steps.append(field)
        message = "unknown key"
        hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
    elif missing := _MISSING.search(message):
        message = f"the key {missing['field']!r} is missing"
        hint = f"add {missing['field']} = …"
    elif enum := _ENUM.search(message):
        choices = _enum_values(kind, steps)
        message = f"{enum['value']} is not one of {', '.join(choices)}"
        near = difflib.get_close_matches(enum["value"].strip("'\""), choices, n=1)
        hint = f"did you mean {near[0]!r}?" if near else ""
    else:
        first = message.partition(" ")[0]
        if first in _field_names(kind, steps):
            steps.append(first)
        message = message.replace("`", "").replace("Expected ", "expected ", 1)
    line = find_line(text, steps)
    where = f"{path}:{line}" if line else f"{path}"
    key = _dotted(steps)
    return ConfigError(f"{where}: {key + ': ' if key else ''}{message}", hint=hint)


def find_line(text: str, steps: list[Step]) -> int | None:
    """Return the line of a key, or of the nearest table around it; `None` if neither is there."""
    best: int | None = None
    best_depth = 0
    counts: dict[tuple[Step, ...], int] = {}
    table: list[Step] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if header := _HEADER.match(line):
            names = header[2].replace('"', "").replace(" ", "").split(".")
            here = table = _table(names, counts, is_array=header[1] == "[[")
        elif key := _KEY.match(line):
            here = [*table, key[1] or key[2] or key[3]]
        else:
            continue
        depth = len(here)
        if here == steps[:depth] and depth > best_depth:
            best, best_depth = number, depth
    return best


def _table(names: list[str], counts: dict[tuple[Step, ...], int], *, is_array: bool) -> list[Step]:
    """Return the steps to a header's table; `counts` has the index of each array's latest table."""
    steps: list[Step] = []
    for depth, name in enumerate(names, start=1):
        steps.append(name)
        key = tuple(steps)
        if is_array and depth == len(names):
            counts[key] = counts.get(key, -1) + 1
        if key in counts:
            steps.append(counts[key])
    return steps


def _dotted(steps: list[Step]) -> str:
    parts = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps]
    return "".join(parts).lstrip(".")


def _resolve(kind: object, steps: list[Step]) -> object:
    """Follow a key path through the types; `None` where it leads out of them."""
    for step in steps:
        kind = _plain(kind)
        if isinstance(step, int):
            arguments = typing.get_args(kind)
            kind = arguments[0] if arguments else None
        elif isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            kind = next(
                (f.type for f in msgspec.structs.fields(kind) if f.encode_name == step), None
            )
        else:
            return None
    return _plain(kind)


def _plain(kind: object) -> object:
    """Return the type inside `X | None`."""
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        kinds = [each for each in typing.get_args(kind) if each is not type(None)]
        return kinds[0] if kinds else None
    return kind


def _field_names(kind: object, steps: list[Step]) -> list[str]:
    found = _resolve(kind, steps)
    if isinstance(found, type) and issubclass(found, msgspec.Struct):
        return [field.encode_name for field in msgspec.structs.fields(found)]
    return []


def _enum_values(kind: object, steps: list[Step]) -> list[str]:
    found = _resolve(kind, steps)
    members = getattr(found, "__members__", {})
    return [member.value for member in members.values()]
