"""Which variants an optimisation level tries, and why others are not tried. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from edgeconsole.engines import Engine, Execution, Precision
from edgeconsole.runtime.optimizer.forms import FP32, Form, Port, Technique
from edgeconsole.runtime.optimizer.words import Calibrator
from edgeconsole.specs import ModelOptimizationLevel


@dataclass(frozen=True, slots=True)
class Quantization:
    """One way to quantise; `calibrator` is `None` for dynamic, and where only weights are stored so."""

    name: str
    calibrator: Calibrator | None = None
    products_only: bool = False
    weights_only: bool = False
    goes_with_reductions: bool = False
    """Whether reduced models are quantised this way as well."""

    @property
    def technique(self) -> Technique:
        """Return what it is called in the report."""
        if self.weights_only:
            return Technique.WEIGHTS
        return Technique.DYNAMIC if self.calibrator is None else Technique.STATIC


@dataclass(frozen=True, slots=True)
class Reduction:
    """A smaller model made in torch: channels removed, or a student trained."""

    name: str
    technique: Technique
    share: float
    """Of the channels that go."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known before anything is built."""

    has_calibration: bool
    has_program: bool
    """Whether `model.pt2` is there."""
    has_torch: bool
    cores: int
    engines: frozenset[str] = frozenset()
    """Those beside ONNX Runtime that are installed and allowed."""
    precisions: frozenset[Precision] = frozenset()
    """Below fp32, those the processor computes in."""
    has_converter: bool = False
    """Whether what writes LiteRT's files is installed."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """What is not tried."""

    name: str
    technique: Technique
    reason: str
    engine: Engine = Engine.ONNXRUNTIME


@dataclass(frozen=True, slots=True)
class Plan:
    """What is tried, each alone and, where the level asks for it, together."""

    quantizations: tuple[Quantization, ...]
    reductions: tuple[Reduction, ...]
    mixed: bool
    """Whether layers stay float when a quantised model loses too much."""
    threads: tuple[int, ...]
    skipped: tuple[Skipped, ...]
    ports: tuple[Port, ...] = ()
    """In which other ways what keeps to the drop is run."""

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of what is built, in order."""
        both = [
            f"{reduction.name}-{quantization.name}"
            for reduction in self.reductions
            for quantization in self.quantizations
            if quantization.goes_with_reductions
        ]
        quantized = [each.name for each in self.quantizations]
        reduced = [each.name for each in self.reductions]
        return (FP32, *quantized, *reduced, *both)


_WITHOUT_DATA = (Quantization("int8-weights", weights_only=True), Quantization("int8-dynamic"))
_STATIC = (
    Quantization("int8-minmax", Calibrator.MINMAX, goes_with_reductions=True),
    Quantization("int8-percentile", Calibrator.PERCENTILE),
    Quantization("int8-entropy", Calibrator.ENTROPY),
    Quantization("int8-products", Calibrator.MINMAX, products_only=True),
)
_PRUNED = tuple(
    Reduction(f"pruned{int(share * 100)}", Technique.PRUNED, share) for share in (0.3, 0.5, 0.7)
)
_DISTILLED = (Reduction("distilled50", Technique.DISTILLED, 0.5),)

_NOT_IN_ONNXRUNTIME: Final = (
    (
        "bf16",
        Technique.BF16,
        "ONNX Runtime has no bf16 kernels for processors: a MatMul cannot be loaded",
    ),
    (
        "fp16",
        Technique.FP16,
        "few of ONNX Runtime's kernels for processors compute in fp16: the rest is converted",
    ),
)

_LEVEL = ModelOptimizationLevel
_QUANTIZES = frozenset({_LEVEL.QUANTIZATION, _LEVEL.FULL_OPTIMIZATION})
_PRUNES = frozenset({_LEVEL.PRUNING, _LEVEL.FULL_OPTIMIZATION})
_DISTILS = frozenset({_LEVEL.DISTILLATION, _LEVEL.FULL_OPTIMIZATION})
_COMPILES = frozenset({_LEVEL.COMPILATION, _LEVEL.FULL_OPTIMIZATION})


def plan(level: ModelOptimizationLevel, facts: Facts) -> Plan:
    """Return what to try; what the model or the device does not allow is named with the reason."""
    skipped: list[Skipped] = []
    quantizations: list[Quantization] = []
    if level in _QUANTIZES:
        quantizations.extend(_WITHOUT_DATA)
        if facts.has_calibration:
            quantizations.extend(_STATIC)
        else:
            skipped.extend(
                Skipped(
                    each.name,
                    each.technique,
                    "the bundle has no calibration data: pack the model with calibration=...",
                )
                for each in _STATIC
            )
    reductions: list[Reduction] = []
    for each in _reductions(level):
        reason = _why_not_reduced(facts)
        if reason:
            skipped.append(Skipped(each.name, each.technique, reason))
        else:
            reductions.append(each)
    ports = []
    for port in _ports(level, facts):
        if isinstance(port, Skipped):
            skipped.append(port)
        else:
            ports.append(port)
    many = level in _COMPILES and facts.cores > 1
    return Plan(
        tuple(quantizations),
        tuple(reductions),
        mixed=level in _QUANTIZES and facts.has_calibration,
        threads=(1, facts.cores) if many else (1,),
        skipped=tuple(skipped),
        ports=tuple(ports),
    )


def _reductions(level: ModelOptimizationLevel) -> Iterator[Reduction]:
    if level in _PRUNES:
        yield from _PRUNED
    if level in _DISTILS:
        yield from _DISTILLED


def _ports(level: ModelOptimizationLevel, facts: Facts) -> Iterator[Port | Skipped]:
    """Yield what is run in other engines: float at every level, less where the level quantises."""
    less = level in _QUANTIZES
    if less:
        yield from (Skipped(name, technique, why) for name, technique, why in _NOT_IN_ONNXRUNTIME)
    if Engine.OPENVINO in facts.engines:
        yield Port(Execution(Engine.OPENVINO))
        if less:
            yield from _openvino_in_less(facts)
    if Engine.LITERT in facts.engines:
        why = _why_not_converted(facts)
        if why:
            yield Skipped(f"{FP32}-{Engine.LITERT}", Technique.FLOAT, why, Engine.LITERT)
            return
        one_row = Execution(Engine.LITERT, max_batch=1)
        yield Port(one_row)
        if less:
            yield Port(one_row, Form.DYNAMIC)
            if facts.has_calibration:
                yield Port(one_row, Form.STATIC)


def _openvino_in_less(facts: Facts) -> Iterator[Port | Skipped]:
    if facts.has_calibration:
        yield Port(Execution(Engine.OPENVINO), Form.READY)
    for precision in (Precision.BF16, Precision.FP16):
        port = Port(Execution(Engine.OPENVINO, precision))
        if precision in facts.precisions:
            yield port
        else:
            why = f"this processor does not compute in {precision}"
            yield Skipped(port.name(FP32), Technique(precision), why, Engine.OPENVINO)


def _why_not_converted(facts: Facts) -> str:
    if not facts.has_torch:
        return "LiteRT's files are made with torch: optimise where the model was packed"
    if not facts.has_program:
        return "the bundle has no model.pt2: pack the model with include_pt2=True"
    if not facts.has_converter:
        return "LiteRT's converter is not installed here: pip install 'edgeconsole[litert-build]'"
    return ""


def _why_not_reduced(facts: Facts) -> str:
    if not facts.has_torch:
        return "torch is not installed here: optimise on a machine that has it"
    if not facts.has_program:
        return "the bundle has no model.pt2: pack the model with include_pt2=True"
    if not facts.has_calibration:
        return "it is at chance without recovery, and the bundle has no calibration data for that"
    return ""
