"""Checking the plain arguments of `pack_model`: names, version, task, metric, class labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgeconsole.bundle.manifest import Task, check_model_name, check_version
from edgeconsole.bundle.metrics import check_metric
from edgeconsole.errors import BundleError, PackError


@dataclass(frozen=True)
class Options:
    """The checked arguments, as the manifest wants them."""

    model: str
    version: str
    task: Task
    variant: str
    metric: str
    labels: tuple[str, ...] | None


def check_options(
    *,
    name: str,
    version: int | str,
    task: Task | str,
    variant: str,
    metric: str,
    labels: Sequence[str] | None,
) -> Options:
    """Return the checked arguments; raises `PackError` for the first that is wrong."""
    try:
        check_model_name(_text("name", name))
        check_model_name(_text("variant", variant))
        number = str(version) if type(version) is int else _text("version", version)
        check_version(number)
        check_metric(_text("metric", metric))
    except ValueError as error:
        raise PackError(str(error)) from None
    except BundleError as error:
        raise PackError(error.message, hint=error.hint) from None
    return Options(name, number, _task(task), variant, metric, _labels(labels))


def _text(what: str, value: object) -> str:
    if not isinstance(value, str):
        raise PackError(f"{what} must be text, not {value!r}")
    return value


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _task(task: Task | str) -> Task:
    try:
        return Task(task)
    except ValueError:
        known = ", ".join(Task)
        raise PackError(f"task {task!r} is not known", hint=f"choose one of: {known}") from None


def _labels(labels: Sequence[str] | None) -> tuple[str, ...] | None:
    if labels is None:
        return None
    if isinstance(labels, str):
        raise PackError(f"labels is one text, {labels!r}", hint="give a list with one per class")
    names = tuple(labels)
    if not names or not all(_is_text(name) for name in names):
        raise PackError("labels must be a list of non-empty texts, one per class")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise PackError(f"label {twice[0]!r} is listed twice", hint="class labels must differ")
    return names
