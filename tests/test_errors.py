"""The error tree, its documentation and the codes that programs compare with."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeconsole import errors
from edgeconsole.errors import EdgeConsoleError, ErrorCode, RequestError


def documented() -> dict[str, tuple[str, str]]:
    """Return class name → (parent, explanation) from the tree at the module's head."""
    assert errors.__doc__ is not None
    tree: dict[str, tuple[str, str]] = {}
    above = ["Exception"]
    for line in errors.__doc__.splitlines():
        match = re.fullmatch(r"((?:│   |    )*(?:[├└]── )?)(\w+Error)\s*(.*)", line)
        if match is None:
            continue
        depth = len(match[1]) // 4 + 1
        del above[depth:]
        tree[match[2]] = (above[-1], match[3])
        above.append(match[2])
    return tree


def classes() -> dict[str, str]:
    """Return class name → parent of every error class the module defines."""
    return {
        name: each.__bases__[0].__name__
        for name, each in vars(errors).items()
        if isinstance(each, type) and issubclass(each, Exception)
    }


def test_tree_at_the_head_is_the_tree_of_classes() -> None:
    """The drawing names every class under its real parent, and nothing else."""
    assert {name: parent for name, (parent, _) in documented().items()} == classes()


@pytest.mark.parametrize("name", sorted(set(classes()) - {"EdgeConsoleError"}))
def test_tree_explains_every_class(name: str) -> None:
    """Each class has a word on when it is raised, in the drawing and as its docstring."""
    assert documented()[name][1]
    assert getattr(errors, name).__doc__


@pytest.mark.parametrize("code", list(ErrorCode))
def test_parse_knows_every_code(code: ErrorCode) -> None:
    """What an agent of our version sends comes back as the same code, and the name is the value."""
    assert ErrorCode.parse(code.value) is code
    assert code.name == code.value


@given(st.text().filter(lambda text: text not in ErrorCode.__members__))
def test_parse_takes_codes_of_the_future_as_internal(text: str) -> None:
    """A newer peer's code is no reason to fail."""
    assert ErrorCode.parse(text) is ErrorCode.INTERNAL


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (EdgeConsoleError("it broke"), "it broke"),
        (EdgeConsoleError("it broke", hint="mend it"), "it broke (mend it)"),
        (RequestError(ErrorCode.QUEUE_FULL, "full", hint="wait"), "full (wait)"),
    ],
)
def test_text_joins_message_and_hint(error: EdgeConsoleError, text: str) -> None:
    """One line for people: the sentence, and what to do if there is something to do."""
    assert str(error) == text


def test_request_error_keeps_its_parts() -> None:
    """Code, message and hint can be read apart, for the reply to a client."""
    error = RequestError(ErrorCode.BAD_SHAPE, "wrong", hint="reshape")
    assert (error.code, error.message, error.hint) == (ErrorCode.BAD_SHAPE, "wrong", "reshape")
