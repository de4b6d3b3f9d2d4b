"""From a bundle to a pruned or distilled one: load, make, prove, write; needs torch."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import torch
from torch.fx import GraphModule

from edgeconsole.bundle import Bundle, Manifest
from edgeconsole.bundle.manifest import MODEL_PT2
from edgeconsole.bundle.writer import check_target, write_variant
from edgeconsole.errors import PackError
from edgeconsole.packer.build import Built
from edgeconsole.packer.build import build as pack
from edgeconsole.packer.examples import Examples
from edgeconsole.packer.export import export_program, flatten_module
from edgeconsole.packer.quiet import quiet
from edgeconsole.packer.reason import one_sentence
from edgeconsole.packer.source import load_source
from edgeconsole.protocol.tensors import Array
from edgeconsole.runtime.optimizer.build_words import (
    BuildError,
    BuildProgress,
    BuildRequest,
    Technique,
)
from edgeconsole.runtime.optimizer.distiller import (
    DISTIL_RATE,
    DISTIL_STEPS,
    KnowledgeDistiller,
    Student,
)
from edgeconsole.runtime.optimizer.pruner import (
    RECOVERY_RATE,
    RECOVERY_STEPS,
    ModelPruner,
    Target,
)
from edgeconsole.runtime.optimizer.schedule import Schedule
from edgeconsole.runtime.optimizer.trainable import graph_module
from edgeconsole.runtime.optimizer.training import Original

Progress = Callable[[BuildProgress], None]

_MAX_NAME: Final = 64
_PACKING_SHARE: Final = 0.3
"""Of the time limit."""
_PACKING_S: Final = 10.0
"""What packing gets of a short limit, if that is not more than half of it."""


class Renamed(torch.nn.Module):
    """A graph module whose inputs and outputs have the manifest's names again."""

    def __init__(self, module: GraphModule, manifest: Manifest) -> None:
        super().__init__()
        self.graph_module = module
        self.inputs = tuple(spec.name for spec in manifest.inputs)
        self.outputs = tuple(spec.name for spec in manifest.outputs)

    def forward(self, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Run the module."""
        found = self.graph_module(*(inputs[name] for name in self.inputs))
        return dict(zip(self.outputs, found, strict=True))


def build(request: BuildRequest, started_s: float, progress: Progress) -> str:
    """Write the bundle that is asked for and return how it was made.

    `started_s` is when the time limit began, on `time.monotonic`'s clock. Raises
    `EdgeConsoleError` with the reason; then nothing is written.
    """
    torch.set_num_threads(request.threads)
    source, out = Path(os.path.realpath(request.bundle)), Path(os.path.realpath(request.out))
    if out == source or source in out.parents or out in source.parents:
        raise BuildError(f"{out} would change the original; choose another folder")
    check_target(out)
    bundle = Bundle.open(source)
    manifest = bundle.manifest
    variant = variant_name(manifest, request)
    rows = bundle.calibration()
    if rows is None:
        raise BuildError(
            "the bundle has no calibration data; without it a smaller model cannot learn",
            hint="pack the model with calibration rows",
        )
    original = Original.of(load_graph(bundle), manifest.task, rows, _fixed_batch(manifest))
    progress(BuildProgress(stage="load", done=1, of=1))
    module, note = _make(request, original, bundle, started_s, progress)
    progress(BuildProgress(stage="pack", done=0, of=1))
    write_module(bundle, module, out, variant)
    progress(BuildProgress(stage="pack", done=1, of=1))
    return note


def load_graph(bundle: Bundle) -> GraphModule:
    """Load a bundle's `model.pt2` as a graph that can be changed; raises as `load_program` does."""
    return graph_module(load_program(bundle))


def load_program(bundle: Bundle) -> torch.export.ExportedProgram:
    """Load a bundle's `model.pt2`, which can run code; raises `BuildError` or `BundleError`."""
    if bundle.manifest.file(MODEL_PT2) is None:
        raise BuildError(
            f"the bundle has no {MODEL_PT2}, so its model cannot be changed",
            hint="pack the model with include_pt2",
        )
    bundle.verify()
    try:
        with quiet():
            return torch.export.load(bundle.file_path(MODEL_PT2))
    except Exception as error:  # the loader raises many types
        raise BuildError(f"{MODEL_PT2} cannot be loaded: {one_sentence(error)}") from error


def variant_name(manifest: Manifest, request: BuildRequest) -> str:
    """Return a name such as `pruned50`, after that of a variant that is not the plain one.

    Raises `BuildError` if the name gets too long.
    """
    if request.technique is Technique.DISTIL:
        name = "distilled" if request.student else f"distilled{round(request.share * 100)}"
        if request.start != "kept" and not request.student:
            name += f"-{request.start}"
    elif request.size_bytes is not None:
        name = f"pruned-{math.ceil(request.size_bytes / 1024)}k"
    else:
        name = f"pruned{round(request.share * 100)}"
    if request.technique is Technique.PRUNE and request.scope != "group":
        name += f"-{request.scope}"
    name = name if manifest.variant == "fp32" else f"{manifest.variant}-{name}"
    if len(name) > _MAX_NAME:
        raise BuildError(f"the variant's name {name!r} would be too long")
    return name


def write_module(bundle: Bundle, module: GraphModule, out: Path, variant: str) -> Bundle:
    """Export, prove and write a module as a variant of a bundle, with the bundle's data.

    Raises `PackError` if the export is not the module at 1, 2 and 3 rows, and `BundleError` if it
    cannot be written.
    """
    manifest = bundle.manifest
    golden, _ = bundle.golden()
    built = _pack(module, manifest, golden)
    if built.inputs != manifest.inputs or built.outputs != manifest.outputs:
        raise BuildError("the smaller model's inputs or outputs are not the original's")
    contents = built.contents
    assert contents.onnx is not None
    return write_variant(
        out,
        bundle,
        variant,
        model=contents.onnx,
        golden_inputs=contents.golden_inputs,
        golden_outputs=contents.golden_outputs,
        pt2=contents.pt2,
    )


def _pack(module: GraphModule, manifest: Manifest, golden: dict[str, Array]) -> Built:
    return pack(Renamed(module, manifest), golden, dynamic=manifest.is_batched, include_pt2=True)


def _make(
    request: BuildRequest,
    original: Original,
    bundle: Bundle,
    started_s: float,
    progress: Progress,
) -> tuple[GraphModule, str]:
    distils = request.technique is Technique.DISTIL
    schedule = Schedule(
        steps=request.steps or (DISTIL_STEPS if distils else RECOVERY_STEPS),
        learning_rate=request.learning_rate or (DISTIL_RATE if distils else RECOVERY_RATE),
        temperature=request.temperature,
        seed=request.seed,
        deadline_s=started_s + _training_s(request.time_limit_s),
    )
    if distils:
        declared = _declared(request.student, bundle) if request.student else None
        student = Student(request.share, request.start, declared)
        made = KnowledgeDistiller(original).distil(student, schedule, progress)
        return made.module, made.note
    target = Target(request.share, request.size_bytes, request.scope)
    pruned = ModelPruner(original).prune(target, schedule, progress)
    return pruned.module, pruned.note


def _training_s(limit_s: float) -> float:
    """Return how much of the time limit is for training, the rest is for packing."""
    return limit_s - max(limit_s * _PACKING_SHARE, min(_PACKING_S, limit_s / 2))


def _declared(source: str, bundle: Bundle) -> GraphModule:
    """Load a declared student, which runs its author's code, as a graph that can be trained."""
    golden, _ = bundle.golden()
    module, _ = load_source(source)
    tensors = tuple(torch.from_numpy(array.copy()) for array in golden.values())
    examples = Examples(tuple(golden), tensors)
    try:
        flat = flatten_module(module, ())
        program = export_program(flat, examples, dynamic=bundle.manifest.is_batched)
    except PackError as error:
        raise BuildError(f"the student: {error.message}", hint=error.hint) from error
    return graph_module(program)


def _fixed_batch(manifest: Manifest) -> int | None:
    if manifest.is_batched:
        return None
    shape = manifest.inputs[0].shape
    if not shape or shape[0] < 1:
        raise BuildError("the model's first input has no rows, so it cannot be trained")
    return shape[0]
