"""`EdgeModelOptimizer`: builds variants of a bundle's model, judges them, times them, and chooses."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from edgeconsole.bundle import Bundle
from edgeconsole.bundle.manifest import MODEL_ONNX, MODEL_PT2
from edgeconsole.bundle.selfcheck import compare_outputs
from edgeconsole.engines import PLAIN, Engine, Execution
from edgeconsole.errors import BundleError, EdgeConsoleError
from edgeconsole.protocol.optimization import (
    Constraints,
    MeasuredOn,
    Objective,
    OptimizationReport,
    Variant,
    VariantStatus,
)
from edgeconsole.runtime.optimizer.build import Builder
from edgeconsole.runtime.optimizer.build_words import BuildProgress
from edgeconsole.runtime.optimizer.children import ChildError
from edgeconsole.runtime.optimizer.contender import Contender, Timing
from edgeconsole.runtime.optimizer.engines import TORCH, converter_version
from edgeconsole.runtime.optimizer.families import families
from edgeconsole.runtime.optimizer.forms import FP32, Form, Technique
from edgeconsole.runtime.optimizer.jury import Jury
from edgeconsole.runtime.optimizer.ledger import Built, Judgement, Ledger, Timed, job_key
from edgeconsole.runtime.optimizer.measure import open_probe, time_together
from edgeconsole.runtime.optimizer.place import lower_precisions, temperature_c
from edgeconsole.runtime.optimizer.plan import Facts, Plan, plan
from edgeconsole.runtime.optimizer.publish import publish
from edgeconsole.runtime.optimizer.rows import model_of, row_of_failed, row_of_skipped
from edgeconsole.runtime.optimizer.select import judge
from edgeconsole.runtime.optimizer.source import check_source
from edgeconsole.runtime.optimizer.stats import percentile_ms, ratio_interval
from edgeconsole.runtime.optimizer.words import DataSet
from edgeconsole.specs import ModelOptimizationLevel

_SEED: Final = 20_251_124
_GROUP: Final = 5
"""So many are timed beside the baseline: all their processes are in memory at once."""
_GROUP_S: Final = 12.0
_THREADS_FROM_MS: Final = 0.2
"""A shorter inference is over before a second thread has woken up."""
_FINALISTS: Final = 3
"""So many are timed with more threads as well."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is wanted of an optimisation."""

    level: ModelOptimizationLevel = ModelOptimizationLevel.FULL_OPTIMIZATION
    objective: Objective = Objective.P99
    constraints: Constraints = field(default_factory=Constraints)
    budget_s: float = 600.0
    use_torch: bool = True
    """Whether `model.pt2` may be loaded, which can run code."""
    seed: int = _SEED


class Progress(msgspec.Struct, frozen=True):
    """How far a job is."""

    stage: str
    name: str
    done: int
    of: int
    left_s: float
    """Until the budget is used up; it may end sooner."""


class EdgeModelOptimizer:
    """One optimisation of one bundle on this device; raises `BundleError` for one that is no source."""

    def __init__(
        self,
        bundle: Bundle,
        order: Order,
        place: MeasuredOn,
        cache: Path,
        tell: Callable[[Progress], None],
    ) -> None:
        check_source(bundle.manifest)
        self._bundle = bundle
        self._order = order
        self._place = place
        self._tell = tell
        self._until_s = time.monotonic() + order.budget_s
        key = job_key(
            bundle.digest,
            place.fingerprint,
            order.level,
            order.constraints.max_drop,
            order.use_torch,
            order.seed,
            converter_version(),
        )
        self._ledger = Ledger(cache / key)
        self._jury = Jury(bundle, seed=order.seed)
        self._builder = Builder(bundle, self._ledger, seed=order.seed)
        self._has_torch = order.use_torch and TORCH in place.engines
        self._judged: dict[str, Judgement] = {}
        self._failed: dict[str, str] = {}
        self._metric_value: float | None = None

    def plan(self) -> Plan:
        """Return what would be tried."""
        return plan(
            self._order.level,
            Facts(
                has_calibration=self._bundle.calibration() is not None,
                has_program=self._program is not None,
                has_torch=self._has_torch,
                cores=self._place.cores,
                engines=frozenset(self._place.engines) - {Engine.ONNXRUNTIME, TORCH},
                precisions=lower_precisions(),
                has_converter=bool(converter_version()),
            ),
        )

    def optimize(self) -> OptimizationReport:
        """Do it; what was found out before an interruption is not measured again.

        Raises `EdgeConsoleError` where nothing can be said at all: the bundle's own model does not
        run here, or the disk refuses.
        """
        started_s = time.monotonic()
        known = self._ledger.report()
        if known is not None and self._still_right(known):
            return self._chosen(known.baseline, known.variants, started_s, cache="hit")
        todo = self.plan()
        self._answer_for_original()
        built = self._build_all(todo)
        baseline, rows = self._time_all(todo, built)
        rows.extend(row_of_skipped(each) for each in todo.skipped)
        report = self._chosen(baseline, tuple(rows), started_s, cache="miss")
        self._publish(report, built)
        if not any(each.for_want_of_time for each in built):
            # What time cut short is no answer to the next who asks: that job goes on from here.
            self._ledger.finish(report)
        return report

    def bundle_of(self, name: str) -> Path:
        """Return where a variant's bundle lies, once it is there."""
        return self._ledger.folder / "bundles" / model_of(name)

    # Building and judging.

    @property
    def _program(self) -> Path | None:
        path = self._bundle.path / MODEL_PT2
        return path if self._bundle.manifest.file(MODEL_PT2) and path.exists() else None

    def _answer_for_original(self) -> None:
        self._say("check", "fp32", 0, 1)
        model = self._bundle.file_path(MODEL_ONNX)
        contender = Contender(FP32, Technique.FLOAT, PLAIN, 1, model)
        probe, _ = open_probe(self._bundle.path, contender)
        with probe:
            outputs = self._jury.ask(probe, self._ledger.folder / "answers")
        self._metric_value = self._jury.take_original(outputs)

    def _build_all(self, todo: Plan) -> list[Built]:
        found = [Built("fp32", Technique.FLOAT, note="as packed")]
        steps = self._steps(todo)
        names = todo.names
        for number, (name, make) in enumerate(steps):
            if self._left_s() <= 0:
                found.append(self._too_late(name))
                continue
            self._say("build", name, number + 1, len(names))
            built = self._ledger.built(name, make)
            found.append(built)
            if not built.failure:
                self._judge(built)
        self._judge(found[0])
        found.extend(self._mixed(todo, found))
        found.extend(self._ported(todo, found))
        return found

    def _steps(self, todo: Plan) -> Iterator[tuple[str, Callable[[], Built]]]:
        """Return what is built: each alone, and what is reduced quantised as well."""
        builder = self._builder
        for quantization in todo.quantizations:
            yield quantization.name, lambda q=quantization: builder.quantize(q)  # type: ignore[misc]
        for reduction in todo.reductions:
            yield (
                reduction.name,
                lambda r=reduction: builder.reduce(r, self._left_s(), self._tell_build),  # type: ignore[misc]
            )
            for quantization in todo.quantizations:
                if quantization.goes_with_reductions:
                    yield (
                        f"{reduction.name}-{quantization.name}",
                        lambda q=quantization, r=reduction: builder.quantize(q, after=r),  # type: ignore[misc]
                    )

    def _judge(self, built: Built) -> None:
        """Find out how well a built model answers; why it does not, is kept as well."""
        try:
            self._judged[built.name] = self._ledger.judged(built.name, lambda: self._answers(built))
        except EdgeConsoleError as error:
            self._failed[built.name] = error.message

    def _answers(self, built: Built) -> Judgement:
        self._say("judge", built.name, 0, 1)
        probe, _ = open_probe(self._bundle.path, self._contender(built, 1))
        with probe:
            outputs = self._jury.ask(probe, self._ledger.folder / f"answers-{built.name}")
        return self._jury.judge(outputs)

    def _mixed(self, todo: Plan, found: Sequence[Built]) -> Iterator[Built]:
        """Where all static int8 models lose too much, leave ever more sensitive layers in float."""
        static = [
            each
            for each in found
            if each.technique == Technique.STATIC and each.name in self._judged and not each.source
        ]
        if not todo.mixed or not static or any(self._meets_gate(each.name) for each in static):
            return
        best = min(static, key=lambda each: self._judged[each.name].drop or 0.0)
        method = next(each for each in todo.quantizations if each.name == best.name)
        for name, make in self._builder.mixed(method, self._left_s):
            if self._left_s() <= 0:
                return
            self._say("build", name, 1, 1)
            built = self._ledger.built(name, make)
            yield built
            if built.failure:
                return
            self._judge(built)
            if self._meets_gate(name):
                return

    def _ported(self, todo: Plan, found: Sequence[Built]) -> Iterator[Built]:
        """Run what keeps to the drop in other engines and precisions as well."""
        todo_ports = [
            (family, port)
            for family in families(found, self._judged, self._order.constraints.max_drop)
            for port in todo.ports
        ]
        for number, (family, port) in enumerate(todo_ports):
            source = family.quantized if port.form is Form.READY else family.plain
            if source is None:
                continue
            name = port.name(source.name)
            if self._left_s() <= 0:
                yield self._too_late(name, port.technique(source.technique), port.execution)
                continue
            self._say("port", name, number + 1, len(todo_ports))
            built = self._builder.port(source, port)
            yield built
            if not built.failure:
                self._judge(built)

    def _too_late(self, name: str, technique: str = "", execution: Execution = PLAIN) -> Built:
        why = f"the budget of {self._order.budget_s:g} s was used up"
        return Built(name, technique, execution=execution, failure=why, for_want_of_time=True)

    def _meets_gate(self, name: str) -> bool:
        drop = self._judged[name].drop if name in self._judged else None
        return drop is not None and drop <= self._order.constraints.max_drop

    def _may_gain_from_threads(self, name: str) -> bool:
        timed = self._ledger.timed(name)
        p50_ms = timed.p50_ms if timed is not None else None
        return self._meets_gate(name) and p50_ms is not None and p50_ms >= _THREADS_FROM_MS

    # Timing.

    def _time_all(self, todo: Plan, built: Sequence[Built]) -> tuple[Variant, list[Variant]]:
        baseline = self._baseline()
        good = [each for each in built if each.name in self._judged]
        contenders = [self._contender(each, 1) for each in good]
        self._time(baseline, contenders)
        for threads in todo.threads[1:]:
            fastest = sorted(
                (each for each in good if self._may_gain_from_threads(each.name)),
                key=lambda each: -((self._ledger.timed(each.name) or Timed()).speedup or 0.0),
            )[:_FINALISTS]
            more = [self._contender(each, threads) for each in fastest]
            self._time(baseline, more)
            contenders += more
        rows = [self._row(each) for each in contenders]
        rows += [row_of_failed(each, self._failed) for each in built if each not in good]
        return self._row(baseline), rows

    def _baseline(self) -> Contender:
        program = self._program
        if self._has_torch and program is not None:
            return Contender("eager-fp32", "eager", None, 1, program, "torch, operator by operator")
        why = "torch is not installed here" if program else "the bundle has no model.pt2"
        if not self._order.use_torch:
            why = "torch is not to be used"
        model = self._bundle.file_path(MODEL_ONNX)
        return Contender("packed-fp32", Technique.FLOAT, PLAIN, 1, model, why)

    def _time(self, baseline: Contender, contenders: Sequence[Contender]) -> None:
        """Time what is not known yet, a few at once and each beside the baseline."""
        todo = [each for each in contenders if self._ledger.timed(each.name) is None]
        groups = [todo[at : at + _GROUP] for at in range(0, len(todo), _GROUP)]
        for number, group in enumerate(groups):
            budget_s = min(_GROUP_S, max(2.0, self._left_s() / (len(groups) - number)))

            def tell(at: int, of: int, number: int = number, of_groups: int = len(groups)) -> None:
                self._say("time", f"group {number + 1} of {of_groups}", at, of)

            found = time_together(
                self._bundle.path, [baseline, *group], budget_s=budget_s, tell=tell
            )
            reference = found[baseline.name]
            if reference.failure:
                raise ChildError(f"the baseline cannot be measured: {reference.failure}")
            if number == 0 or self._ledger.timed(baseline.name) is None:
                self._ledger.time(baseline.name, self._timed(reference, reference))
            for contender in group:
                self._ledger.time(contender.name, self._timed(found[contender.name], reference))

    def _timed(self, timing: Timing, reference: Timing) -> Timed:
        if timing.failure or not timing.all_ms:
            return Timed(failure=timing.failure or "it was not measured")
        speedup, interval = ratio_interval(
            reference.rounds_ms[: len(timing.rounds_ms)], timing.rounds_ms, self._order.seed
        )
        return Timed(
            p50_ms=percentile_ms(timing.all_ms, 0.5),
            p95_ms=percentile_ms(timing.all_ms, 0.95),
            p99_ms=percentile_ms(timing.all_ms, 0.99),
            speedup=speedup,
            ci=interval,
            load_ms=timing.load_ms,
            peak_rss_bytes=timing.peak_rss_bytes,
        )

    # Rows.

    def _contender(self, built: Built, threads: int) -> Contender:
        name = built.name if threads == 1 else f"{built.name}-t{threads}"
        return Contender(
            name, built.technique, built.execution, threads, self._file_of(built), built.note
        )

    def _file_of(self, built: Built) -> Path:
        return self._ledger.folder / built.model if built.model else self._bundle.path / MODEL_ONNX

    def _row(self, contender: Contender) -> Variant:
        timed = self._ledger.timed(contender.name) or Timed()
        # The baseline is the original itself.
        judged = self._judged.get(model_of(contender.name), Judgement(self._metric_value))
        return Variant(
            name=contender.name,
            technique=contender.technique,
            engine=contender.engine,
            threads=contender.threads,
            p50_ms=timed.p50_ms,
            p95_ms=timed.p95_ms,
            p99_ms=timed.p99_ms,
            ci=timed.ci,
            speedup=timed.speedup,
            size_bytes=contender.model.stat().st_size,
            peak_rss_bytes=timed.peak_rss_bytes,
            load_ms=timed.load_ms,
            metric=self._jury.metric,
            metric_value=judged.metric_value,
            drop=judged.drop,
            drop_ci=judged.drop_ci,
            agreement=judged.agreement,
            status=VariantStatus.FAILED if timed.failure else VariantStatus.OK,
            reason=timed.failure,
            note=contender.note,
        )

    def _chosen(
        self, baseline: Variant, rows: tuple[Variant, ...], started_s: float, *, cache: str
    ) -> OptimizationReport:
        order, manifest = self._order, self._bundle.manifest
        choice = judge(baseline, rows, order.constraints, order.objective, unit=self._jury.unit)
        return OptimizationReport(
            model=manifest.model,
            version=manifest.version,
            level=order.level,
            objective=order.objective,
            constraints=order.constraints,
            baseline=baseline,
            variants=choice.variants,
            recommended=choice.recommended,
            fallback=choice.fallback,
            why=choice.why,
            device=msgspec.structs.replace(self._place, temp_c_after=temperature_c()),
            evaluation=self._jury.said,
            cache=cache,
            took_s=round(time.monotonic() - started_s, 1),
        )

    # The end.

    def _publish(self, report: OptimizationReport, built: Sequence[Built]) -> None:
        """Write bundles of the variants that meet the constraints."""
        wanted = {
            model_of(each.name) for each in report.variants if each.status is VariantStatus.OK
        }
        for each in built:
            if each.name in wanted and each.name != FP32:
                probe, _ = open_probe(self._bundle.path, self._contender(each, 1))
                with probe:
                    publish(
                        self._bundle,
                        self._file_of(each),
                        self._jury,
                        probe,
                        variant=each.name,
                        execution=each.execution,
                        out=self.bundle_of(each.name),
                    )

    def _still_right(self, report: OptimizationReport) -> bool:
        """Say whether the recommended variant is whole and gives its golden answers, in a moment."""
        name = report.recommended
        self._say("verify", name or "nothing", 0, 1)
        self._metric_value = report.baseline.metric_value
        if name is None or not self.bundle_of(name).exists():
            return name is None or model_of(name) == "fp32"
        try:
            bundle = Bundle.open(self.bundle_of(name), on_device=True)
            bundle.verify()
            manifest = bundle.manifest
            model = bundle.file_path(manifest.model_file)
            contender = Contender(name, "", manifest.execution, 1, model)
            probe, _ = open_probe(bundle.path, contender)
            with probe:
                got = self._jury.ask(probe, self._ledger.folder / "verify", DataSet.GOLDEN)
            precision = manifest.execution.precision
            if compare_outputs(bundle.golden()[1], got, precision) is None:
                return True
        except (BundleError, ChildError):
            self._say("verify", name, 1, 1)
        self._ledger.forget()
        return False

    def _tell_build(self, said: BuildProgress) -> None:
        self._say(said.stage, "", said.done, said.of)

    def _left_s(self) -> float:
        return self._until_s - time.monotonic()

    def _say(self, stage: str, name: str, done: int, of: int) -> None:
        self._tell(Progress(stage, name, done, of, max(0.0, round(self._left_s(), 1))))
