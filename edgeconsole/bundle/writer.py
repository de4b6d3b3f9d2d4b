"""`write_bundle`: build a bundle beside its place, make it durable, then give it its name."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

import msgspec

from edgeconsole.bundle.files import names_in
from edgeconsole.bundle.folder import Bundle
from edgeconsole.bundle.manifest import (
    CALIBRATION,
    CODE_FILES,
    EVALUATION,
    FILE_NAMES,
    GOLDEN,
    MANIFEST_NAME,
    MODEL_ONNX,
    MODEL_PT2,
    MODEL_TFLITE,
    SERVED_FILES,
    BundleFile,
    Manifest,
    Task,
    encode_manifest,
)
from edgeconsole.bundle.swap import put_in_place, sibling
from edgeconsole.bundle.tensorfile import INPUTS, LABELS, OUTPUTS, encode_tensors
from edgeconsole.durable import sync_folder
from edgeconsole.engines import PLAIN, Execution
from edgeconsole.errors import BundleError
from edgeconsole.protocol.tensors import Array, TensorSpec


@dataclass(frozen=True)
class Contents:
    """What a bundle's files hold; tensors are keyed by the names of the model's inputs/outputs.

    `calibration` and the first part of `evaluation` have shape `[rows, ...]`.
    """

    onnx: bytes | None
    golden_inputs: Mapping[str, Array]
    golden_outputs: Mapping[str, Array]
    pt2: bytes | None = None
    calibration: Mapping[str, Array] | None = None
    evaluation: tuple[Mapping[str, Array], Array] | None = None
    tflite: bytes | None = None
    """What LiteRT reads, in place of `onnx`."""


def write_bundle(
    path: Path | str,
    contents: Contents,
    *,
    model: str,
    version: str,
    task: Task,
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
    variant: str = "fp32",
    labels: tuple[str, ...] | None = None,
    metric: str = "accuracy",
    created: str = "",
    producer: str = "",
    static_answer: Mapping[str, Any] | None = None,
    execution: Execution = PLAIN,
) -> Bundle:
    """Write a bundle and return it opened; an older bundle at `path` is replaced in one step.

    `created` (ISO 8601, UTC) defaults to now, `producer` to this program's version. Raises
    `BundleError` if `path` holds something else than a bundle, a field is invalid, the contents
    disagree with the fields, or the disk refuses; then `path` is as it was.
    """
    target = check_target(path)
    files = encode_contents(contents)
    try:
        manifest = Manifest(
            model=model,
            version=version,
            variant=variant,
            task=task,
            format="onnx" if contents.tflite is None else "tflite",
            contains_code=not CODE_FILES.isdisjoint(files),
            inputs=inputs,
            outputs=outputs,
            labels=labels,
            metric=metric,
            files=tuple(_entry(name, data) for name, data in files.items()),
            created=created or datetime.now(UTC).isoformat(timespec="seconds"),
            producer=producer or _this_program(),
            static_answer=msgspec.UNSET if static_answer is None else dict(static_answer),
            runs_in=msgspec.UNSET if execution == PLAIN else execution,
        )
    except ValueError as error:
        raise BundleError(f"{target}: {error}") from error
    partial = sibling(target, "partial")
    try:
        _write_files(partial, {**files, MANIFEST_NAME: encode_manifest(manifest)})
        _check_readable(Bundle.open(partial))
        put_in_place(partial, target)
    except OSError as error:
        raise BundleError(
            f"{target}: cannot be written: {error.strerror or error}",
            hint="check the free space and the rights of the folder",
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Bundle.open(target)


def write_variant(
    path: Path | str,
    source: Bundle,
    variant: str,
    *,
    model: bytes,
    golden_inputs: Mapping[str, Array],
    golden_outputs: Mapping[str, Array],
    pt2: bytes | None = None,
    execution: Execution = PLAIN,
) -> Bundle:
    """Write another form of a bundle's model: the same name, data and description, another file.

    `model` is what the engine of `execution` reads. Raises as `write_bundle` does.
    """
    manifest = source.manifest
    answer = manifest.static_answer
    is_tflite = SERVED_FILES[execution.engine] == MODEL_TFLITE
    return write_bundle(
        path,
        Contents(
            onnx=None if is_tflite else model,
            tflite=model if is_tflite else None,
            golden_inputs=golden_inputs,
            golden_outputs=golden_outputs,
            pt2=pt2,
            calibration=source.calibration(),
            evaluation=source.evaluation(),
        ),
        model=manifest.model,
        version=manifest.version,
        variant=variant,
        task=manifest.task,
        inputs=manifest.inputs,
        outputs=manifest.outputs,
        labels=manifest.labels,
        metric=manifest.metric,
        static_answer=None if isinstance(answer, msgspec.UnsetType) else answer,
        execution=execution,
    )


def check_target(path: Path | str) -> Path:
    """Return the absolute path a bundle may be written to.

    An empty folder, a bundle or nothing may be there. Raises `BundleError` for anything else,
    because writing would delete it.
    """
    target = Path(os.path.realpath(path))
    if not target.exists():
        return target
    if not target.is_dir():
        raise BundleError(f"{target}: is a file", hint="choose a folder for the bundle")
    names = names_in(target)
    if names and (MANIFEST_NAME not in names or names - {MANIFEST_NAME, *FILE_NAMES}):
        raise BundleError(
            f"{target}: is not empty and not a bundle, so it is not replaced",
            hint="choose another folder",
        )
    return target


def encode_contents(contents: Contents) -> dict[str, bytes]:
    """Return a bundle's files by name; raises `BundleError` for tensors that cannot be stored."""
    golden = {
        **{INPUTS + name: value for name, value in contents.golden_inputs.items()},
        **{OUTPUTS + name: value for name, value in contents.golden_outputs.items()},
    }
    models = {
        MODEL_ONNX: contents.onnx,
        MODEL_TFLITE: contents.tflite,
        MODEL_PT2: contents.pt2,
    }
    files = {name: data for name, data in models.items() if data is not None}
    files[GOLDEN] = encode_tensors(golden)
    if contents.calibration is not None:
        rows = {INPUTS + name: value for name, value in contents.calibration.items()}
        files[CALIBRATION] = encode_tensors(rows)
    if contents.evaluation is not None:
        given, labels = contents.evaluation
        rows = {INPUTS + name: value for name, value in given.items()}
        files[EVALUATION] = encode_tensors({**rows, LABELS: labels})
    return files


def _write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir()
    for name, data in files.items():
        with (folder / name).open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    sync_folder(folder)


def _check_readable(bundle: Bundle) -> None:
    bundle.golden()
    bundle.calibration()
    bundle.evaluation()


def _entry(name: str, data: bytes) -> BundleFile:
    return BundleFile(path=name, size=len(data), sha256=hashlib.sha256(data).hexdigest())


def _this_program() -> str:
    try:
        return f"edgeconsole {installed_version('edgeconsole')}"
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "edgeconsole"
