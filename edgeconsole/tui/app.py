"""The console as a Textual app: the screens, the one timer, and the one way from key to action."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Final

from textual import events
from textual.app import App
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Input
from textual.worker import Worker

from edgeconsole.errors import EdgeConsoleError
from edgeconsole.fleet.orders import OrderKind
from edgeconsole.fleet.store import LinkState
from edgeconsole.tui import commands, job_acts, ordering
from edgeconsole.tui import filter as filters
from edgeconsole.tui.actions import ActionRegistry
from edgeconsole.tui.commands import Command, CommandError
from edgeconsole.tui.filter import FilterError
from edgeconsole.tui.glyphs import ALPHABETS
from edgeconsole.tui.job_acts import JobAct, JobRequest
from edgeconsole.tui.job_lines import JobKey
from edgeconsole.tui.model_acts import ModelAct, ModelRequest
from edgeconsole.tui.optimize_words import OptimizeRequest
from edgeconsole.tui.order_words import OrderRequest
from edgeconsole.tui.screens.audit import AuditScreen
from edgeconsole.tui.screens.base import ConsoleScreen, Handler
from edgeconsole.tui.screens.confirm import ConfirmScreen
from edgeconsole.tui.screens.confirm_job import JobConfirmScreen
from edgeconsole.tui.screens.confirm_model import ModelConfirmScreen
from edgeconsole.tui.screens.device import DeviceScreen
from edgeconsole.tui.screens.dialog import Dialog, Given
from edgeconsole.tui.screens.fleet import FleetScreen
from edgeconsole.tui.screens.help import HelpScreen
from edgeconsole.tui.screens.jobs import JobScreen, JobsScreen
from edgeconsole.tui.screens.models import BundlesScreen, ModelScreen, ModelsScreen
from edgeconsole.tui.screens.optimize import OptimizeScreen
from edgeconsole.tui.screens.why import WhyScreen
from edgeconsole.tui.service import ConsoleService
from edgeconsole.tui.state import ConsoleState, now
from edgeconsole.tui.theme import NIGHT, ROLE_COLORS
from edgeconsole.tui.widgets.prompt import Prompt

_OURS: Final = (ConsoleScreen, HelpScreen, Dialog)
"""Screens that the action registry knows."""


class EdgeConsoleApp(App[int], inherit_bindings=False):
    """The operator's terminal over one fleet."""

    CSS_PATH: ClassVar[str | Path] = "styles.tcss"
    TITLE = "EdgeConsole"
    ENABLE_COMMAND_PALETTE = False
    # With a selection Ctrl-C would copy; here it always quits.
    ALLOW_SELECT = False

    def __init__(
        self,
        service: ConsoleService,
        *,
        glyphs: str = "braille",
        refresh_hz: float = 4.0,
        wall_clock: Callable[[], datetime] = now,
        registry: ActionRegistry | None = None,
        extra_handlers: Mapping[str, Handler] | None = None,
    ) -> None:
        """Make the console.

        Args:
            service: Keeps the store filled; started and stopped with the app.
            glyphs: `braille`, `block` or `ascii`.
            refresh_hz: How often the screen is drawn, 1 to 10 times a second.
            wall_clock: The time of day.
            registry: The actions; by default those of the release.
            extra_handlers: What additional actions of `registry` do.
        """
        super().__init__()
        self.service = service
        self.state = ConsoleState(
            store=service.store,
            glyphs=ALPHABETS[glyphs],
            registry=registry or ActionRegistry(),
            wall_clock=wall_clock,
            refresh_hz=refresh_hz,
        )
        self._extra_handlers = dict(extra_handlers or {})
        self._ticks: Timer | None = None
        self._starting: Worker[None] | None = None
        self._bind_actions()
        self.register_theme(NIGHT)
        self.theme = NIGHT.name

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Give themes that know nothing of us the role colours."""
        return ROLE_COLORS

    def get_default_screen(self) -> Screen[None]:
        """Start on the fleet."""
        return FleetScreen(self.state)

    # Life and death.

    async def on_mount(self) -> None:
        """Start the timer and the service; with one device, go straight to it."""
        self._set_timer()
        self._starting = self.run_worker(self._start_service(), exit_on_error=False)
        ids = self.state.store.ids()
        if len(ids) == 1:
            await self.open_device(ids[0])

    async def on_unmount(self) -> None:
        """Stop the service, whichever way the app ends."""
        if self._starting is not None:
            self._starting.cancel()
        await self.service.stop()

    async def _start_service(self) -> None:
        try:
            await self.service.start()
        except (EdgeConsoleError, OSError) as error:
            self.state.notice = f"The console cannot follow the fleet: {error}"
        except Exception as error:  # noqa: BLE001 - the supervisor: the screen stays, and says why
            self.state.notice = f"The console's link failed: {type(error).__name__}: {error}"
        self.tick()

    def _set_timer(self) -> None:
        if self._ticks is not None:
            self._ticks.stop()
        self._ticks = self.set_interval(1 / self.state.refresh_hz, self.tick)

    def tick(self) -> None:
        """Take one frame and draw the screen that can be seen, also behind the help."""
        self.state.problem = self.service.problem
        self.state.update()
        for screen in reversed(self.screen_stack):
            if isinstance(screen, Dialog) and screen.is_mounted:
                screen.redraw()
            if isinstance(screen, ConsoleScreen):
                if screen.is_mounted:
                    screen.draw()
                return

    # From a key to an action.

    async def on_event(self, event: events.Event) -> None:
        """Note when a key or click was made before anything is done about it."""
        if isinstance(event, events.InputEvent):
            self.state.guard.pressed(event.time)
        await super().on_event(event)

    def _bind_actions(self) -> None:
        """Bind every key of the registry here, with priority.

        So keys are judged one after the other, in the order they were typed, by what has the
        keyboard at that moment. A binding on a screen would run in another queue, where a key
        typed ahead still meets the focus of before.
        """
        for action in self.state.registry.actions:
            self._bindings.bind(
                ",".join(action.keys), f"act({action.id!r})", action.title, False, priority=True
            )

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Let the registry decide whether an action may run now."""
        if action != "act":
            return super().check_action(action, parameters)
        return self.state.registry.allows(
            str(parameters[0]),
            self._kind,
            typing=isinstance(self.focused, Input),
            settled=self.state.guard.settled,
        )

    @property
    def _kind(self) -> str:
        screen = self.screen
        return screen.kind if isinstance(screen, _OURS) else ""

    async def action_act(self, action_id: str) -> None:
        """Run an action of the registry."""
        result = self.handlers()[action_id]()
        if inspect.isawaitable(result):
            await result

    def handlers(self) -> dict[str, Handler]:
        """Return what every action does on the screen that is on top."""
        screen = self.screen
        here = screen.handlers() if isinstance(screen, _OURS) else {}
        return {
            "open": self._open_selected,
            "why": self._why_selected,
            "models": self._models_here,
            "open_model": self._open_model_selected,
            "jobs": self.open_jobs,
            "open_job": self._open_job_selected,
            "cancel_job": lambda: self._ask_job(JobAct.CANCEL),
            "activate_job": lambda: self._ask_job(JobAct.ACTIVATE),
            "activate_model": lambda: self._ask_model(ModelAct.ACTIVATE),
            "deploy_model": lambda: self._ask_model(ModelAct.DEPLOY),
            "roll_back_model": lambda: self._ask_model(ModelAct.ROLL_BACK),
            "remove_model": lambda: self._ask_model(ModelAct.REMOVE),
            "optimize": lambda: self.ask_optimize(OptimizeRequest()),
            "failsafe": lambda: self._ask_here(OrderKind.FAILSAFE_ON),
            "fallback": lambda: self._ask_here(OrderKind.FALLBACK_ON),
            "release": lambda: self._ask_here(OrderKind.RELEASE),
            "thermal": lambda: self._ask_here(OrderKind.THERMAL_HOT),
            "help": self.open_help,
            "pause": self._pause,
            "faster": lambda: self._change_rate(1),
            "slower": lambda: self._change_rate(-1),
            "back": self._back,
            "quit": lambda: self.exit(0),
            "quit_now": lambda: self.exit(0),
            **here,
            **self._extra_handlers,
        }

    def _pause(self) -> None:
        self.state.toggle_pause()
        self.tick()

    def _change_rate(self, step: int) -> None:
        self.state.change_rate(step)
        self._set_timer()
        self.tick()

    async def _back(self) -> None:
        """Clear the filter first, then go back."""
        state = self.state
        state.guard.changed()
        if len(self.screen_stack) > 1:
            await self.pop_screen()
        elif state.filter or state.faults_only:
            state.filter, state.faults_only = filters.EVERYTHING, False
            self.tick()

    # Screens.

    async def _open_selected(self) -> None:
        """Open the device under the cursor at once: a message would let later keys overtake."""
        screen = self.screen
        if isinstance(screen, FleetScreen) and (view := screen.table.selected) is not None:
            await self.open_device(view.id)

    async def open_device(self, device_id: str) -> None:
        """Show one device over the fleet."""
        self.state.guard.changed()
        while len(self.screen_stack) > 1:
            await self.pop_screen()
        await self._open(DeviceScreen(self.state, device_id))

    async def open_help(self) -> None:
        """Show the help over the screen."""
        await self._open(HelpScreen(self.state))

    async def _open(self, screen: Screen[Any], done: Callable[[Any], None] | None = None) -> None:
        """Push a screen; keys typed before it could be seen cannot change a device on it."""
        self.state.guard.close()
        try:
            await self.push_screen(screen, done)
        finally:
            self.state.guard.opened()

    async def open_why(self, device_id: str) -> None:
        """Show what holds a device's rungs."""
        await self._open(WhyScreen(self.state, self.service.desk, device_id))

    async def open_audit(self) -> None:
        """Show what was ordered."""
        await self._open(AuditScreen(self.state, self.service.desk))

    async def _leave_lists(self) -> None:
        """Close models and jobs that are on top: lists take each other's place."""
        while isinstance(self.screen, BundlesScreen | JobsScreen | JobScreen):
            await self.pop_screen()

    async def open_models(self, device_id: str = "") -> None:
        """Show the models of the fleet, or of one device."""
        await self._leave_lists()
        await self._open(ModelsScreen(self.state, self.service, device_id))

    async def _models_here(self) -> None:
        screen = self.screen
        await self.open_models(
            screen.device_id if isinstance(screen, DeviceScreen | WhyScreen) else ""
        )

    async def _open_model_selected(self) -> None:
        screen = self.screen
        if isinstance(screen, ModelsScreen) and (row := screen.chosen()) is not None:
            await self._open(ModelScreen(self.state, self.service, row, screen.device_id))

    async def _ask_model(self, act: ModelAct) -> None:
        """Let it be confirmed, or say why there is nothing to confirm."""
        screen = self.screen
        asked = screen.asked_for(act) if isinstance(screen, BundlesScreen) else ""
        if isinstance(asked, ModelRequest):
            await self._open(ModelConfirmScreen(self.state, asked), self._decided)
        elif asked:
            self.state.tell(asked)
            self.tick()

    async def open_jobs(self, device_id: str = "") -> None:
        """Show the optimisation jobs of the fleet, or of one device."""
        await self._leave_lists()
        await self._open(JobsScreen(self.state, self.service, device_id))

    async def _open_job_selected(self) -> None:
        screen = self.screen
        if isinstance(screen, JobsScreen) and (key := screen.selected) is not None:
            await self.open_job(key)

    async def open_job(self, key: JobKey) -> None:
        """Show a job and what it found."""
        await self._open(JobScreen(self.state, self.service, key))

    async def _ask_job(self, act: JobAct) -> None:
        """Let it be confirmed, or say why there is nothing to confirm."""
        screen = self.screen
        chosen = screen.chosen() if isinstance(screen, JobsScreen | JobScreen) else None
        if chosen is None:
            return
        device_id, job, note = chosen
        request = JobRequest(act, device_id, job)
        if refused := job_acts.refusal(request, note):
            self.state.tell(refused)
            self.tick()
            return
        await self._open(JobConfirmScreen(self.state, request), self._decided)

    async def _why_selected(self) -> None:
        for device_id in self._devices_here()[:1]:
            await self.open_why(device_id)

    # Orders.

    def _devices_here(self, *, marked: bool = False) -> list[str]:
        """Return the device that is shown or under the cursor; `marked`: or those marked instead."""
        screen = self.screen
        if isinstance(screen, DeviceScreen | WhyScreen):
            return [screen.device_id]
        if not isinstance(screen, FleetScreen):
            return []
        marks = screen.table.marks if marked else set()
        if marks:
            return [name for name in self.state.store.ids() if name in marks]
        return [screen.table.selected.id] if screen.table.selected is not None else []

    async def _ask_here(self, kind: OrderKind) -> None:
        await self.ask_order(OrderRequest(kind))

    async def ask_order(self, request: OrderRequest) -> None:
        """Let an order be confirmed; without devices in it, for those marked or at hand."""
        devices = request.devices or tuple(self._devices_here(marked=True))
        if devices:
            screen = ConfirmScreen(self.state, replace(request, devices=devices))
            await self._open(screen, self._decided)

    async def ask_optimize(self, request: OptimizeRequest) -> None:
        """Show the form; what is left open is filled in from what is at hand."""
        what, devices = self._optimize_here()
        if not request.devices:
            request = replace(request, devices=tuple(devices))
        if not request.what:
            request = replace(request, what=what or self._answers_on(request.devices))
        screen = OptimizeScreen(self.state, self.service, request)
        await self._open(screen, self._optimize_decided)

    def _optimize_here(self) -> tuple[str, list[str]]:
        """Return the model under the cursor and the devices at hand; either may be empty."""
        screen = self.screen
        if isinstance(screen, BundlesScreen) and (row := screen.chosen()) is not None:
            what = row.bundle.model if row.active else row.bundle.key
            return what, self._one_of(row.active or row.stored)
        return "", self._devices_here(marked=True)

    def _one_of(self, devices: Sequence[str]) -> list[str]:
        """Return one of the devices that have a model, one that is there if any is."""
        views = [each for name in devices if (each := self.state.store.device(name))]
        views.sort(key=lambda view: view.link is not LinkState.LIVE)
        return [view.id for view in views[:1]]

    def _answers_on(self, devices: Sequence[str]) -> str:
        """Return the model that stands for the first device; empty if none is known to answer."""
        view = self.state.store.device(devices[0]) if devices else None
        return view.active.model if view is not None and view.active is not None else ""

    def _optimize_decided(self, given: Given | None) -> None:
        """Give the order, and show what becomes of it where jobs are."""
        if given is not None:
            self._decided(given)
            self.call_later(self.open_jobs, given[1][0] if len(given[1]) == 1 else "")

    def _decided(self, given: Given | None) -> None:
        if given is not None:
            work = ordering.give(*given, self.service.desk, self.state, self.tick)
            self.run_worker(work, group="orders", exit_on_error=False)

    async def show_fleet(self, text: str | None) -> None:
        """Go back to the fleet, with another filter if one is given."""
        if text is not None:
            self.state.filter = filters.parse(text)
        while len(self.screen_stack) > 1:
            await self.pop_screen()
        self.tick()

    # What screens report.

    async def on_fleet_screen_device_chosen(self, event: FleetScreen.DeviceChosen) -> None:
        """Open the device that was chosen."""
        await self.open_device(event.device_id)

    def on_console_screen_filter_typed(self, event: ConsoleScreen.FilterTyped) -> None:
        """Apply a filter as it is typed; what is wrong with it is said beneath."""
        views = self.state.frame.views
        self.state.filter, complaint = filters.while_typing(event.text, views)
        self.screen.query_one(Prompt).say(complaint)
        self.tick()

    async def on_console_screen_command_entered(self, event: ConsoleScreen.CommandEntered) -> None:
        """Run a command, or say in the prompt what is wrong with it."""
        screen = self.screen
        assert isinstance(screen, ConsoleScreen), "only these have a prompt"
        try:
            command = commands.parse(event.line, self.state.store.ids())
            self._check_devices(command)
            if command is not None and command.verb in ("fleet", "filter"):
                filters.parse(command.argument)
        except (CommandError, FilterError) as error:
            screen.prompt.say(str(error))
            return
        screen.close_prompt()
        if command is not None:
            await self._run(command)

    def _check_devices(self, command: Command | None) -> None:
        """Refuse a command about a device where none is named, marked or at hand."""
        if command is None or not (command.order or command.verb == "why"):
            return
        named = command.order.devices if command.order else command.argument
        if not named and not self._devices_here(marked=True):
            raise CommandError(f":{command.verb} on which device?", hint="name the devices")

    async def _run(self, command: Command) -> None:
        if command.verb == "device":
            await self.open_device(command.argument)
        elif command.verb == "fleet":
            await self.show_fleet(command.argument or None)
        elif command.verb == "filter":
            await self.show_fleet(command.argument)
        elif command.order is not None:
            await self.ask_order(command.order)
        elif command.verb == "why":
            for device_id in [command.argument] if command.argument else self._devices_here()[:1]:
                await self.open_why(device_id)
        elif command.verb == "audit":
            await self.open_audit()
        elif command.optimization is not None:
            await self.ask_optimize(command.optimization)
        elif command.verb == "models":
            await self.open_models(command.argument)
        elif command.verb == "jobs":
            await self.open_jobs(command.argument)
        elif command.verb == "help":
            await self.open_help()
        else:
            self.exit(0)
