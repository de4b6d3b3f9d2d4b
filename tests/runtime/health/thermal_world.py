"""The thermal policy's modules as one, and copies of them with one place of the source changed."""

from __future__ import annotations

import importlib
import sys
import types
from functools import cache
from pathlib import Path

PACKAGE = "edgeconsole.runtime.health"
NAMES = (
    "reading",
    "limits",
    "sensor",
    "forecast",
    "rate",
    "plant",
    "state",
    "signals",
    "steps",
    "judge",
    "policy",
)
"""Each imports only what stands before it."""


def path_of(name: str) -> str:
    """Return a module's full name."""
    return f"{PACKAGE}.thermal_{name}"


def real() -> types.SimpleNamespace:
    """Return the modules as they are."""
    return types.SimpleNamespace(**{n: importlib.import_module(path_of(n)) for n in NAMES})


@cache
def _source(name: str) -> str:
    return Path(importlib.import_module(path_of(name)).__file__ or "").read_text()


@cache
def _code(name: str, old: str, new: str) -> types.CodeType:
    source = _source(name)
    if old:
        assert source.count(old) == 1, f"{old!r} must be in {name} exactly once"
    return compile(source.replace(old, new) if old else source, path_of(name), "exec")


def mutant(name: str, old: str, new: str) -> types.SimpleNamespace:
    """Return copies of all modules, one of them with one place of its source changed."""
    package = importlib.import_module(PACKAGE)
    kept = {each: importlib.import_module(path_of(each)) for each in NAMES}
    code = {each: _code(each, *((old, new) if each == name else ("", ""))) for each in NAMES}
    made: dict[str, types.ModuleType] = {}
    try:
        for each in NAMES:
            made[each] = types.ModuleType(path_of(each))
            sys.modules[path_of(each)] = made[each]
            setattr(package, f"thermal_{each}", made[each])
            exec(code[each], made[each].__dict__)
    finally:
        for each, module in kept.items():
            sys.modules[path_of(each)] = module
            setattr(package, f"thermal_{each}", module)
    return types.SimpleNamespace(**made)
