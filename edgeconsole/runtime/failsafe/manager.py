"""`FailsafeManager`: the routes of all models, what operators forced on them, and what is told of it.

The thin shell: ten times a second it looks at every route; whatever a route decides is a pure function
of the evidence. Blocking work (overrides, recordings, golden inputs) is done in threads.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from edgeconsole.bundle import Manifest
from edgeconsole.errors import ErrorCode, RequestError, StoreError
from edgeconsole.protocol.control import Explain, ExplainReply, Force, Release
from edgeconsole.protocol.failsafe import (
    Override,
    OverrideKind,
    RouteConditions,
    RouteSample,
    Transition,
)
from edgeconsole.protocol.inference import Rung
from edgeconsole.protocol.telemetry import Severity
from edgeconsole.runtime.failsafe.evidence import Heat
from edgeconsole.runtime.failsafe.house import HeatEvidence, House
from edgeconsole.runtime.failsafe.ladder import Decision, LadderLimits
from edgeconsole.runtime.failsafe.orders import OnEvent, Orders
from edgeconsole.runtime.failsafe.recorder import EvidenceRecorder
from edgeconsole.runtime.failsafe.route import Route
from edgeconsole.runtime.failsafe.samples import route_sample
from edgeconsole.runtime.failsafe.steps import too_hot
from edgeconsole.runtime.serving.engine import InferenceEngine
from edgeconsole.specs import EdgeAgentConfig, ModelDeploymentSpec

TICK_S: Final = 0.1
KEPT_TRANSITIONS: Final = 512
"""Overflow rule: the oldest is forgotten; consoles have stored it."""
_WRITE_TICKS: Final = 10


class FailsafeManager:
    """What answers when a model cannot."""

    def __init__(
        self,
        config: EdgeAgentConfig,
        engine: InferenceEngine,
        on_event: OnEvent,
        *,
        record_path: Path | None = None,
    ) -> None:
        recorder = None
        if record_path is not None:
            recorder = EvidenceRecorder(record_path, config.failsafe.record_mb << 20)
        self._config = config
        self._orders = Orders(on_event)
        self._house = House(config, engine, self._orders, recorder)
        self._on_event = on_event
        self._limits = LadderLimits(changes_per_hour=config.failsafe.changes_per_hour)
        self._routes: dict[str, Route] = {}
        self._retired: set[str] = set()
        """Models that were unloaded on purpose: nothing answers to their names."""
        self._transitions: deque[Transition] = deque(maxlen=KEPT_TRANSITIONS)
        for spec in config.model_specs:
            if spec.load:
                self._add_route(spec)

    def open(self, state_dir: Path) -> None:
        """Read what is forced; raises `StoreError`."""
        self._orders.open(state_dir)

    def heed(self, ask_heat: Callable[[], HeatEvidence]) -> None:
        """Let the routes ask what the thermal policy wants of them."""
        self._house.ask_heat = ask_heat

    # What requests need.

    def route(self, model: str) -> Route | None:
        """Return the route of a model's name, if it has one."""
        if model in self._retired:
            return None
        route = self._routes.get(model)
        if route is None and self._house.active(model) is not None:
            # It was deployed; device.toml does not name it.
            route = self._add_route(ModelDeploymentSpec(model_id=model))
        return route

    def check_direct(self, model: str) -> None:
        """Refuse requests for a certain version of a model that an operator or the heat stopped."""
        heat = self._house.heat()
        if heat.heat is Heat.REFUSE:
            raise too_hot(model, heat)
        held = self._house.override(model)
        if held is not None and held.kind is not OverrideKind.FALLBACK:
            raise RequestError(
                ErrorCode.SAFE_STOP,
                f"{held.actor} forced {held.kind} on {held.model or 'all models'}: {held.reason}",
                hint="ask without a version, or wait until it is released",
            )

    # What operators want.

    async def force(self, command: Force) -> str:
        """Force a rung at once, then make it durable; returns a sentence. Raises `RequestError`."""
        self._check_model(command.model)
        message, _ = self._orders.force(command)
        self._review_all()
        return message + await self._orders.save()

    async def release(self, command: Release) -> str:
        """End what was forced, and latches unless a kind is named; returns a sentence.

        Raises `RequestError`.
        """
        self._check_model(command.model)
        message, is_new = self._orders.release(command)
        if is_new and command.kind is None:
            for route in self._routes.values():
                if command.model in ("", route.model):
                    route.release()
        self._review_all()
        return message + await self._orders.save()

    def explain(self, command: Explain) -> ExplainReply:
        """Return the latest transitions, and what holds now; raises `RequestError`."""
        self._check_model(command.model)
        wanted = [each for each in self._transitions if command.model in ("", each.model)]
        return ExplainReply(
            id=command.id,
            transitions=tuple(reversed(wanted[-command.limit :])),
            routes=tuple(
                RouteConditions(route.model, route.rung, route.judge.conditions)
                for route in self._routes.values()
                if command.model in ("", route.model)
            ),
        )

    def maintenance(self) -> Override | None:
        """Return the override that keeps the whole device from answering, if there is one."""
        held = self._house.override("")
        return held if held is not None and held.kind is OverrideKind.MAINTENANCE else None

    # What the agent tells, and asks.

    def not_loaded(self, model: str, reason: str, manifest: Manifest | None = None) -> None:
        """Take in why a model is not loaded, and what it would be."""
        self._house.not_loaded[model] = reason
        route = self._routes.get(model)
        if route is not None and route.primary is None:
            route.begin(manifest)
            route.review(time.monotonic())

    def forget(self, model: str) -> None:
        """Take a route away: its model is unloaded on purpose."""
        self._retired.add(model)
        self._routes.pop(model, None)

    def expect(self, model: str) -> None:
        """Know that a bundle answers to a model's name now, whatever was before."""
        self._house.not_loaded.pop(model, None)
        if model in self._retired:
            self._retired.remove(model)
            specs = (spec for spec in self._config.model_specs if spec.model_id == model)
            self._add_route(next(specs, ModelDeploymentSpec(model_id=model)))
        self.note(model, "")

    def note(self, model: str, text: str) -> None:
        """Show a person something about a route until it is taken back with an empty text."""
        route = self.route(model)
        if route is not None:
            route.note = text

    def samples(self, now_s: float) -> tuple[RouteSample, ...]:
        """Return every route's figures."""
        return tuple(
            route_sample(route, self._house.override(route.model), now_s)
            for route in self._routes.values()
        )

    def routes(self) -> tuple[Route, ...]:
        """Return all routes."""
        return tuple(self._routes.values())

    # The round.

    async def run(self) -> None:
        """Look at everything, for ever."""
        ticks = 0
        while True:
            await asyncio.sleep(TICK_S)
            ticks += 1
            now_s = time.monotonic()
            self._orders.tell_ended()
            await self._house.look_after_proofs(now_s)
            for route in list(self._routes.values()):
                route.review(now_s)
                route.trials.probe(now_s)
            if ticks % _WRITE_TICKS == 0:
                await self._write()

    async def close(self) -> None:
        """Write what waits to be written."""
        await self._write()
        await self._orders.checkpoint(last=True)

    def _add_route(self, spec: ModelDeploymentSpec) -> Route:
        route = Route(
            spec,
            self._house,
            deadline_ms=self._config.deadline_ms(spec.model_id),
            limits=self._limits,
            now_s=time.monotonic(),
            on_move=partial(self._moved, spec.model_id),
        )
        self._routes[spec.model_id] = route
        return route

    def _moved(self, model: str, before: Rung, decision: Decision) -> None:
        """Keep a transition, and tell it."""
        state = decision.state
        held = self._house.override(model) if state.cause == "operator" else None
        transition = Transition(
            model=model,
            before=before,
            after=state.rung,
            cause=state.cause,
            time_unix_s=time.time(),
            conditions=decision.conditions,
            actor="" if held is None else held.actor,
            reason=state.reason if held is None else held.reason,
        )
        self._transitions.append(transition)
        severity = Severity.WARNING
        if state.rung.depth < before.depth:
            severity = Severity.INFO
        elif state.rung is Rung.STOP and held is None:
            severity = Severity.CRITICAL
        self._on_event(
            severity,
            "rung_changed",
            f"{model}: {before} → {state.rung} ({state.cause}: {state.reason})",
            transition,
        )

    def _check_model(self, model: str) -> None:
        if model and self.route(model) is None:
            known = ", ".join(sorted(self._routes)) or "none"
            raise RequestError(
                ErrorCode.UNKNOWN_MODEL,
                f"no model answers to {model!r} here",
                hint=f"models: {known}",
            )

    def _review_all(self) -> None:
        now_s = time.monotonic()
        for route in self._routes.values():
            route.review(now_s)

    async def _write(self) -> None:
        await self._orders.checkpoint()
        recorder = self._house.recorder
        if recorder is None:
            return
        try:
            await asyncio.to_thread(recorder.flush)
        except StoreError as error:
            self._house.recorder = None
            self._on_event(Severity.WARNING, "not_recorded", str(error))
