"""The optimise form without its widgets: its fields, what they mean, what the dialog says. Pure."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from edgeconsole.fleet import models
from edgeconsole.fleet.blast import Blast
from edgeconsole.fleet.job_desk import DeviceJobs
from edgeconsole.fleet.model_desk import DeviceModels
from edgeconsole.fleet.store import DeviceView
from edgeconsole.fleet.tasks import OptimizeTask
from edgeconsole.optimization_options import option_words
from edgeconsole.optimization_plan import sentences
from edgeconsole.protocol.optimization import Objective
from edgeconsole.specs import ModelOptimizationLevel
from edgeconsole.tui import confirm_lines
from edgeconsole.tui import format as fmt
from edgeconsole.tui.command_error import CommandError
from edgeconsole.tui.glyphs import Glyphs
from edgeconsole.tui.optimize_words import OptimizeRequest, parse_words
from edgeconsole.tui.runs import Line, crop


@dataclass(frozen=True, slots=True)
class Field:
    """One field; `option` is what it is on a command line."""

    name: str
    label: str
    option: str = ""
    choices: tuple[str, ...] = ()


MODEL: Final = Field("model", "model")
ON: Final = Field("on", "on")
REASON: Final = Field("reason", "reason", "--reason")
_OPTIONS: Final = (
    Field("level", "level", "--level", tuple(each.value for each in ModelOptimizationLevel)),
    Field("objective", "objective", "--objective", tuple(each.value for each in Objective)),
    Field("max-drop", "max drop", "--max-drop"),
    Field("budget", "budget", "--budget"),
    Field("max-p99-ms", "max p99 ms", "--max-p99-ms"),
    Field("max-memory-mb", "max memory MB", "--max-memory-mb"),
    Field("max-size-mb", "max size MB", "--max-size-mb"),
)
ROWS: Final = (
    (MODEL, ON),
    (_OPTIONS[0], _OPTIONS[1]),
    (_OPTIONS[2], _OPTIONS[3]),
    (_OPTIONS[4], _OPTIONS[5]),
    (_OPTIONS[6], REASON),
)
"""The fields as they stand side by side."""


def values_of(request: OptimizeRequest) -> dict[str, str]:
    """Return what the fields begin with."""
    words = option_words(request.asked)
    given = dict(zip(words[::2], words[1::2], strict=True))
    return {
        MODEL.name: request.what,
        ON.name: shlex.join(request.devices),
        REASON.name: request.reason,
        **{each.name: given.get(each.option, "") for each in _OPTIONS},
    }


def read(values: Mapping[str, str], devices: Sequence[str]) -> OptimizeRequest:
    """Return what the fields ask for; raises `CommandError`."""
    what = values[MODEL.name].strip()
    if not what or what.startswith("-"):
        raise CommandError("model: name one, or MODEL/VERSION/VARIANT")
    try:
        on = shlex.split(values[ON.name])
    except ValueError as error:
        raise CommandError(f"on: {error}", hint="close the quotes") from error
    if not on:
        raise CommandError("on: name a device")
    # An option holds its value by a sign, so that no value is taken for an option.
    words = [
        f"{each.option}={values[each.name].strip()}"
        for each in (*_OPTIONS, REASON)
        if values[each.name].strip()
    ]
    return parse_words([what, *words, "--on", *on], devices)


def field_of(error: CommandError) -> str:
    """Return the name of the field that an error of `read` is about."""
    for each in (MODEL, ON, *_OPTIONS, REASON):
        if error.message.startswith((f"{each.option}:", f"{each.name}:")) and each.option != ":":
            return each.name
    return ON.name if error.message.startswith("no device") else MODEL.name


def form(request: OptimizeRequest) -> str:
    """Return the order as one types it behind `:`."""
    words = ["optimize", request.what, "--on", *request.devices, *option_words(request.asked)]
    return shlex.join([*words, *(["--reason", request.reason] if request.reason else [])])


def task_for(
    request: OptimizeRequest, stored: Sequence[DeviceModels]
) -> tuple[OptimizeTask | None, str]:
    """Return the task, or why there is none: a bundle's key means one bundle everywhere."""
    if "/" not in request.what:
        return OptimizeTask(request.what, request.asked), ""
    digests = set()
    for each in stored:
        if each.device_id in request.devices:
            found = models.find(each.models, request.what)
            digests.add("" if found is None else found.digest)
    if len(stored) < len(request.devices) or not digests or "" in digests:
        return None, f"model: not every device is known to have {request.what}"
    if len(digests) > 1:
        return None, f"model: {request.what} is not the same bundle everywhere; name one device"
    return OptimizeTask(request.what, request.asked, digests.pop()), ""


def what(
    request: OptimizeRequest,
    blast: Blast,
    views: Sequence[DeviceView],
    waiting: Sequence[DeviceJobs] | None,
    *,
    queue_s: float,
    width: int,
    glyphs: Glyphs,
) -> list[Line]:
    """Return the plan: where, what is measured, for how long, what serving keeps."""
    lines: list[Line] = [
        (*confirm_lines.counted(blast), (f"   {confirm_lines.names(blast.devices)}", "muted"))
    ]
    for word, sentence in sentences(request.asked, _ahead(waiting)):
        lines += _paragraph(word, sentence, width)
    lines += confirm_lines.offline(blast, queue_s, glyphs)
    if "/" not in request.what:
        lines += _lacking(request.what, views)
    return [crop(line, width) for line in lines]


def _ahead(waiting: Sequence[DeviceJobs] | None) -> int | None:
    """Return how many jobs wait or run where there are most; `None` if a device did not say."""
    if not waiting or any(each.note for each in waiting):
        return None
    return max(sum(not job.state.final for job in each.jobs) for each in waiting)


def _lacking(model: str, views: Sequence[DeviceView]) -> Iterator[Line]:
    lack = [
        view.id
        for view in views
        if view.sample is not None
        and not any(each.active and each.model == model for each in view.sample.models)
    ]
    if lack:
        text = f"nothing answers to {fmt.escape(model)} on {confirm_lines.names(lack)}"
        yield ((text, "warn"),)


def _paragraph(word: str, sentence: str, width: int) -> Iterator[Line]:
    rows = textwrap.wrap(sentence, max(10, width - 10))
    for at, row in enumerate(rows):
        yield ((f"{word if at == 0 else '':<10}", "muted"), (row, "text"))
