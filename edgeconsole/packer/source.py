"""Finding the module to pack: `pkg.mod:factory` or a `.pt2` file (needs torch)."""

from __future__ import annotations

import importlib
import operator
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from edgeconsole.errors import PackError
from edgeconsole.packer.quiet import quiet
from edgeconsole.packer.reason import one_sentence

if TYPE_CHECKING:
    from edgeconsole.packing import ExampleInputs

Source = tuple[torch.nn.Module, "ExampleInputs | None"]


def load_source(source: str) -> Source:
    """Return the module and the example inputs that came with it, if any.

    `pkg.mod:name` is a module, or a callable that returns a module or `(module, inputs)`; the
    current folder is importable. A `.pt2` file brings the inputs it was exported with. Both run
    the author's code. Raises `PackError`.
    """
    if source.endswith(".pt2"):
        return _load_program(Path(source))
    module_name, colon, attribute = source.partition(":")
    if not colon or not module_name or not attribute:
        raise PackError(
            f"{source!r} names no model", hint="give package.module:factory or a .pt2 file"
        )
    found = _find(module_name, attribute)
    if not isinstance(found, torch.nn.Module):
        if not callable(found):
            raise PackError(f"{source} is {type(found).__name__}", hint="give a module or factory")
        try:
            found = found()
        except Exception as error:  # the factory is the user's code
            raise PackError(f"{source}() fails: {one_sentence(error)}") from error
    examples: ExampleInputs | None = None
    if isinstance(found, tuple) and len(found) == 2:
        found, examples = found
    if not isinstance(found, torch.nn.Module):
        raise PackError(
            f"{source}() returns {type(found).__name__}",
            hint="return a torch.nn.Module, or (module, example_inputs)",
        )
    return found, examples


def _find(module_name: str, attribute: str) -> object:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return operator.attrgetter(attribute)(importlib.import_module(module_name))
    except AttributeError as error:
        raise PackError(f"{module_name} has no {attribute!r}: {error}") from error
    except Exception as error:  # importing runs the user's code
        raise PackError(
            f"cannot import {module_name!r}: {one_sentence(error)}",
            hint="run the command in the folder of your code",
        ) from error


def _load_program(path: Path) -> Source:
    if not path.is_file():
        raise PackError(f"{path}: is not a file", hint="give a file written by torch.export.save")
    try:
        with quiet():
            program = torch.export.load(path)
            module = program.module()
    except Exception as error:  # the loader raises many types
        raise PackError(
            f"{path}: cannot be loaded: {one_sentence(error)}",
            hint="give a file written by torch.export.save",
        ) from error
    stored = program.example_inputs
    if stored is None or stored[1]:
        return module, None
    return module, tuple(stored[0])
