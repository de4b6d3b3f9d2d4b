"""What can be done about a stored bundle, and what the dialog says of it. Pure; no Textual."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import msgspec

from edgeconsole.fleet.blast import Blast
from edgeconsole.fleet.model_desk import DeviceModels
from edgeconsole.fleet.orders import Intent, OrderKind
from edgeconsole.fleet.store import DeviceView
from edgeconsole.fleet.tasks import ActivateTask, RemoveTask, RollBackTask, Task
from edgeconsole.tui import confirm_lines, model_lines
from edgeconsole.tui import format as fmt
from edgeconsole.tui.job_lines import speed
from edgeconsole.tui.model_lines import Row
from edgeconsole.tui.report_lines import ms_text, size_text
from edgeconsole.tui.runs import Line, crop


class ModelAct(StrEnum):
    """What is done about a bundle."""

    ACTIVATE = "activate"
    DEPLOY = "deploy"
    """Activate what the newest job recommends, whichever bundle is chosen."""
    ROLL_BACK = "rollback"
    REMOVE = "remove"


TITLES: Final = {
    ModelAct.ACTIVATE: "Activate",
    ModelAct.DEPLOY: "Activate what is recommended",
    ModelAct.ROLL_BACK: "Roll back",
    ModelAct.REMOVE: "Remove",
}
KINDS: Final = {
    ModelAct.ACTIVATE: OrderKind.ACTIVATE,
    ModelAct.DEPLOY: OrderKind.ACTIVATE,
    ModelAct.ROLL_BACK: OrderKind.ROLL_BACK,
    ModelAct.REMOVE: OrderKind.REMOVE,
}
_EFFECTS: Final = {
    ModelAct.ROLL_BACK: "What answered before it is loaded, tested, and answers again.",
    ModelAct.REMOVE: "Its files go from the store; it has to be deployed again to come back.",
}
_LOADED: Final = "It is loaded and tested first; where that fails nothing changes."
_WAY_BACK: Final = "R on it lets the one before answer again."
_LACKS: Final = "it is not in the store"
_MOST_REASONS: Final = 3


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """What was asked for, of which bundle, and on which devices."""

    act: ModelAct
    row: Row
    devices: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...] = ()
    """Devices on which it is not done, with the reason."""

    @property
    def line(self) -> str:
        """Return it for the first device as one types it in a shell."""
        return f"edgeconsole {task(self).line(self.devices[0])}"


def ask(
    act: ModelAct, chosen: Row, said: Sequence[DeviceModels], rows: Sequence[Row]
) -> ModelRequest | str:
    """Return what is to be done where, or why there is nothing to do."""
    row: Row | None = chosen
    if act is ModelAct.DEPLOY:
        row = _recommended(chosen.bundle.model, said, rows)
    name = chosen.bundle.model
    if row is None:
        found = model_lines.newest(said, name)
        if found is None:
            return f"no job has measured {name} so far; O orders one"
        return f"{found[1].job_id} on {found[0]} recommends nothing that is still in a store"
    placed = list(_placed(act, row, said))
    devices = tuple(device for device, why in placed if not why)
    left_out = tuple((device, why) for device, why in placed if why)
    if devices:
        return ModelRequest(act, row, devices, left_out)
    key = row.bundle.key
    if act is ModelAct.ROLL_BACK and not left_out:
        return f"{key} answers nowhere; there is nothing to roll back"
    more = len(left_out) - 1
    others = f", and {more} more devices" if more > 1 else ", and one more device" if more else ""
    return f"{key} on {left_out[0][0]}: {left_out[0][1]}{others}"


def _recommended(model: str, said: Sequence[DeviceModels], rows: Sequence[Row]) -> Row | None:
    found = model_lines.newest(said, model)
    measured = {} if found is None else found[1].measured
    best = {digest for digest, each in measured.items() if each.recommended}
    return next((row for row in rows if row.bundle.digest in best), None)


def _placed(act: ModelAct, row: Row, said: Sequence[DeviceModels]) -> Iterator[tuple[str, str]]:
    """Return the devices it is about, each with why it is not done there; empty: it is."""
    digest, model = row.bundle.digest, row.bundle.model
    for each in said:
        bundle = next((one for one in each.models if one.digest == digest), None)
        activates = act in (ModelAct.ACTIVATE, ModelAct.DEPLOY)
        if bundle is None:
            if activates and any(one.model == model for one in each.models):
                yield each.device_id, _LACKS
        elif act is ModelAct.ROLL_BACK and not bundle.active:
            continue
        elif each.note:
            yield each.device_id, f"it cannot be asked now: {each.note}"
        elif activates and bundle.active:
            yield each.device_id, "it answers there already"
        elif act is ModelAct.REMOVE:
            yield each.device_id, bundle.needed
        else:
            yield each.device_id, ""


def task(request: ModelRequest) -> Task:
    """Return what each device is to do.

    The bundle is named by its digest, so that it is the one that was seen, whatever was stored since.
    """
    bundle = request.row.bundle
    if request.act is ModelAct.ROLL_BACK:
        return RollBackTask(bundle.model, bundle.digest)
    if request.act is ModelAct.REMOVE:
        return RemoveTask(bundle.key, bundle.digest)
    return ActivateTask(bundle.model, bundle.version, bundle.variant, bundle.digest)


def intent(
    request: ModelRequest, views: Sequence[DeviceView], by: tuple[str, str], reason: str
) -> Intent:
    """Return the order `by` a command id and an actor.

    What is activated takes the place only of what the dialog says that it does.
    """
    answering = {view.id: view.answering(request.row.bundle.model) for view in views}
    expected = {device: each.digest for device, each in answering.items() if each is not None}
    made = Intent.of(task(request), *by, reason)
    return msgspec.structs.replace(made, expected=expected)


def what(
    request: ModelRequest, reach: Blast, views: Sequence[DeviceView], width: int
) -> list[Line]:
    """Return what would happen, on how many devices where, and where it would not."""
    row = request.row
    shown: list[Line] = [
        ((fmt.escape(row.bundle.key), "strong"), (f"   {row.bundle.digest[:12]}", "muted")),
        (*confirm_lines.counted(reach), (f"   {confirm_lines.names(reach.devices)}", "muted")),
        (),
    ]
    if request.act in _EFFECTS:
        shown.append(((_EFFECTS[request.act], "text"),))
    else:
        shown += [*_in_place_of(row.bundle.model, views), *_measured(row)]
        shown += [((_LOADED, "text"),), ((_WAY_BACK, "muted"),)]
    return [crop(line, width) for line in [*shown, *_left_out(request)]]


def _in_place_of(model: str, views: Sequence[DeviceView]) -> Iterator[Line]:
    before: dict[str, list[str]] = defaultdict(list)
    for view in views:
        active = view.answering(model)
        before["" if active is None else active.key].append(view.id)
    for key, devices in sorted(before.items(), key=lambda pair: -len(pair[1]))[:_MOST_REASONS]:
        on = f"   on {confirm_lines.names(devices)}" if len(before) > 1 else ""
        text = f"in place of {fmt.escape(key)}" if key else "what answers now is unknown"
        yield (text, "text" if key else "warn"), (on, "muted")
    if len(before) > _MOST_REASONS:
        yield ((f"… and of {len(before) - _MOST_REASONS} more", "text"),)


def _measured(row: Row) -> Iterator[Line]:
    """Return what a job found, and on which device: on the others it is not known."""
    found = row.measured
    if found is None:
        yield (("No job has measured it.", "warn"),)
        return
    drop = fmt.UNKNOWN if found.drop is None else f"{found.drop:.2f}"
    text = (
        f"p99 {ms_text(found.p99_ms)} ms, {speed(found.speedup)}, "
        f"{size_text(row.bundle.size_bytes)}, drop of {fmt.escape(found.metric)} {drop}; "
        f"measured on {fmt.escape(row.measured_on)}"
    )
    yield ((text, "text"),)


def _left_out(request: ModelRequest) -> Iterator[Line]:
    reasons: dict[str, list[str]] = defaultdict(list)
    for device, why in request.left_out:
        reasons[why].append(device)
    for why, devices in list(reasons.items())[:_MOST_REASONS]:
        text = f"not on {confirm_lines.names(devices)}: {fmt.escape(why)}"
        yield ((text, "warn"),)
    if len(reasons) > _MOST_REASONS:
        yield ((f"… and {len(reasons) - _MOST_REASONS} more reasons", "warn"),)
