"""`Builder`: has variants of one bundle made, each by a process of its own that may fail."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from edgeconsole.bundle import Bundle
from edgeconsole.bundle.manifest import MODEL_ONNX
from edgeconsole.engines import Engine
from edgeconsole.runtime.optimizer.build_words import (
    BUILDER_MODULE,
    BuildProgress,
    BuildRequest,
    BuildResult,
    decode_line,
)
from edgeconsole.runtime.optimizer.build_words import Technique as BuildTechnique
from edgeconsole.runtime.optimizer.children import Child, ChildError, memory_left_bytes
from edgeconsole.runtime.optimizer.forms import Form, Port, Technique
from edgeconsole.runtime.optimizer.ledger import Built, Ledger
from edgeconsole.runtime.optimizer.plan import Quantization, Reduction
from edgeconsole.runtime.optimizer.words import (
    Calibrator,
    Convert,
    Converted,
    FromConverter,
    FromQuantizer,
    Quantize,
    Quantized,
    Rank,
    Ranked,
    TfliteForm,
)

_QUANTIZER: Final = "edgeconsole.runtime.optimizer.quantizer"
_CONVERTER: Final = "edgeconsole.runtime.optimizer.converter"
_QUANTIZE_TIMEOUT_S: Final = 300.0
_CONVERT_TIMEOUT_S: Final = 300.0
_FORMS: Final = {
    Form.FLOAT: TfliteForm.FLOAT,
    Form.DYNAMIC: TfliteForm.DYNAMIC,
    Form.STATIC: TfliteForm.STATIC,
}
_KEPT_SHARES: Final = (0.1, 0.25, 0.5)
"""Of the layers, the most sensitive, that stay float in a mixed model; tried in this order."""
_RANK_SHARE: Final = 0.25
"""Of the time that is left, at most, to find out which layers are sensitive."""
_MOST_REDUCE_SHARE: Final = 0.4
_LEAST_REDUCE_S: Final = 10.0


class Builder:
    """Makes model files in a job's folder; failures become records, not errors."""

    def __init__(self, bundle: Bundle, ledger: Ledger, *, seed: int) -> None:
        self._bundle = bundle
        self._ledger = ledger
        self._seed = seed

    def quantize(self, wanted: Quantization, *, after: Reduction | None = None) -> Built:
        """Quantise the bundle's model, or one that was reduced before."""
        name = wanted.name if after is None else f"{after.name}-{wanted.name}"
        technique = wanted.technique if after is None else f"{after.technique}, {wanted.technique}"
        source = self._bundle.path
        if after is not None:
            source = self._ledger.folder / after.name
            if not source.exists():
                why = f"{after.name} could not be built"
                late = self._ledger.find(after.name) is None
                return Built(name, technique, failure=why, for_want_of_time=late)
        return self._quantized(
            name,
            technique,
            Quantize(
                bundle=str(source),
                model=str(source / MODEL_ONNX),
                folder=str(self._ledger.folder / f"work-{after.name if after else 'fp32'}"),
                out=str(self._ledger.folder / f"{name}.onnx"),
                calibrator=wanted.calibrator,
                products_only=wanted.products_only,
                weights_only=wanted.weights_only,
            ),
            source="" if after is None else after.name,
        )

    def mixed(
        self, best: Quantization, left_s: Callable[[], float]
    ) -> Iterator[tuple[str, Callable[[], Built]]]:
        """Return models with ever more layers in float, the most sensitive first."""
        calibrator = best.calibrator or Calibrator.MINMAX
        groups: list[tuple[str, ...]] = []
        for share in _KEPT_SHARES:
            name = f"int8-mixed{int(share * 100)}"

            def make(name: str = name, share: float = share) -> Built:
                if not groups:
                    try:
                        groups.extend(self._ranked(calibrator, left_s() * _RANK_SHARE))
                    except ChildError as error:
                        return Built(name, Technique.MIXED, failure=error.message)
                kept = groups[: max(1, round(share * len(groups)))]
                if len(kept) >= len(groups):
                    return Built(
                        name, Technique.MIXED, failure="too few layers to leave some in float"
                    )
                return self._quantized(
                    name,
                    Technique.MIXED,
                    Quantize(
                        bundle=str(self._bundle.path),
                        model=str(self._bundle.path / MODEL_ONNX),
                        folder=str(self._ledger.folder / "work-fp32"),
                        out=str(self._ledger.folder / f"{name}.onnx"),
                        calibrator=calibrator,
                        products_only=True,
                        keep=tuple(node for group in kept for node in group),
                    ),
                )

            yield name, make

    def reduce(
        self, wanted: Reduction, left_s: float, tell: Callable[[BuildProgress], None]
    ) -> Built:
        """Have a smaller model made in torch: pruned, or a student."""
        out = self._ledger.folder / wanted.name
        pruned = wanted.technique is Technique.PRUNED
        limit_s = max(_LEAST_REDUCE_S, left_s * _MOST_REDUCE_SHARE)
        request = BuildRequest(
            bundle=str(self._bundle.path),
            out=str(out),
            technique=BuildTechnique.PRUNE if pruned else BuildTechnique.DISTIL,
            share=wanted.share,
            seed=self._seed,
            time_limit_s=limit_s,
        )
        until_s = time.monotonic() + limit_s
        try:
            result = _build(request, limit_s, tell)
            reason = "" if result.ok else result.reason
        except ChildError as error:
            reason = error.message
        if reason:
            late = time.monotonic() >= until_s
            return Built(wanted.name, wanted.technique, failure=reason, for_want_of_time=late)
        return Built(
            wanted.name,
            wanted.technique,
            model=f"{wanted.name}/{MODEL_ONNX}",
            source=wanted.name,
            note=result.note,
        )

    def port(self, source: Built, port: Port) -> Built:
        """Return a built model as it is run in another engine: the same file, or one made of it."""
        if port.execution.engine is Engine.LITERT:
            name = port.name(source.name)
            return self._ledger.built(name, lambda: self._convert(source, port))
        return Built(
            port.name(source.name),
            port.technique(source.technique),
            model=source.model,
            source=source.source,
            note=source.note,
            execution=port.execution,
        )

    def _convert(self, plain: Built, port: Port) -> Built:
        """Have a float model, packed or reduced, written for LiteRT."""
        name, technique = port.name(plain.name), port.technique(plain.technique)
        source = self._ledger.folder / plain.source if plain.source else self._bundle.path
        float_file = self._ledger.folder / f"{_float_port(port).name(plain.name)}.tflite"
        out = self._ledger.folder / f"{name}.tflite"
        form = _FORMS[port.form]
        if form is not TfliteForm.FLOAT and not float_file.exists():
            why = f"{float_file.stem} could not be built"
            late = self._ledger.find(float_file.stem) is None
            return Built(
                name, technique, execution=port.execution, failure=why, for_want_of_time=late
            )
        request = Convert(str(source), form, str(float_file), str(out))
        memory_bytes = memory_left_bytes()
        try:
            with Child(_CONVERTER, FromConverter, memory_bytes=memory_bytes, threads=1) as child:
                done = child.ask(request, timeout_s=_CONVERT_TIMEOUT_S)
        except ChildError as error:
            return Built(name, technique, execution=port.execution, failure=error.message)
        assert isinstance(done, Converted)
        return Built(
            name,
            technique,
            model=out.name,
            source=plain.source,
            note="; ".join(filter(None, (plain.note if plain.source else "", done.note))),
            execution=port.execution,
        )

    def _quantized(
        self, name: str, technique: str, request: Quantize, *, source: str = ""
    ) -> Built:
        try:
            with _quantizer() as child:
                done = child.ask(request, timeout_s=_QUANTIZE_TIMEOUT_S)
        except ChildError as error:
            return Built(name, technique, failure=error.message)
        assert isinstance(done, Quantized)
        return Built(
            name,
            technique,
            model=Path(request.out).name,
            source=source,
            note=f"{done.quantized} weights stored in int8, run in float"
            if request.weights_only
            else f"{done.quantized} of {done.of} layers in int8",
        )

    def _ranked(self, calibrator: Calibrator, time_limit_s: float) -> list[tuple[str, ...]]:
        with _quantizer() as child:
            found = child.ask(
                Rank(
                    bundle=str(self._bundle.path),
                    model=str(self._bundle.path / MODEL_ONNX),
                    folder=str(self._ledger.folder / "work-fp32"),
                    calibrator=calibrator,
                    time_limit_s=time_limit_s,
                ),
                timeout_s=time_limit_s + _QUANTIZE_TIMEOUT_S,
            )
        assert isinstance(found, Ranked)
        if not found.complete:
            raise ChildError("there was no time to find out which layers are sensitive")
        return found.groups


def _float_port(port: Port) -> Port:
    return Port(port.execution)


def _quantizer() -> Child:
    return Child(_QUANTIZER, FromQuantizer, memory_bytes=memory_left_bytes(), threads=1)


def _build(
    request: BuildRequest, limit_s: float, tell: Callable[[BuildProgress], None]
) -> BuildResult:
    with Child(BUILDER_MODULE, None, memory_bytes=memory_left_bytes(), threads=1) as child:
        for line in child.lines(request, timeout_s=2 * limit_s + 60.0):
            said = decode_line(line)
            if isinstance(said, BuildResult):
                return said
            tell(said)
    raise ChildError("the builder said nothing")
