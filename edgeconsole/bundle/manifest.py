"""`manifest.json`: what a bundle says about its model, as an immutable, validated type."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any, Final, Literal

import msgspec

from edgeconsole.bundle.static_answer import static_rows
from edgeconsole.engines import PLAIN, Engine, Execution
from edgeconsole.errors import BundleError
from edgeconsole.protocol.tensors import TensorSpec

SCHEMA: Final = "edgeconsole.bundle/1"
MANIFEST_NAME: Final = "manifest.json"
MODEL_ONNX: Final = "model.onnx"
MODEL_TFLITE: Final = "model.tflite"
MODEL_PT2: Final = "model.pt2"
GOLDEN: Final = "golden.safetensors"
CALIBRATION: Final = "calibration.safetensors"
EVALUATION: Final = "evaluation.safetensors"
FILE_NAMES: Final = (MODEL_ONNX, MODEL_TFLITE, MODEL_PT2, GOLDEN, CALIBRATION, EVALUATION)
CODE_FILES: Final = frozenset({MODEL_PT2})
"""Files that run code when they are loaded: `torch.export.load` can execute a planted pickle."""

SERVED_FILES: Final = {
    Engine.ONNXRUNTIME: MODEL_ONNX,
    Engine.OPENVINO: MODEL_ONNX,
    Engine.LITERT: MODEL_TFLITE,
}
"""What each engine reads. OpenVINO's own format loads no faster than ONNX, and would be a second file."""

MAX_MANIFEST_BYTES: Final = 1 << 20
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_VERSION: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z._+-]{0,31}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class Task(StrEnum):
    """What the model's answer means; decides which metrics and static answers make sense."""

    CLASSIFICATION = "classification"
    DETECTION = "detection"
    REGRESSION = "regression"
    CUSTOM = "custom"


class BundleFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a bundle: its name, `size` in bytes and SHA-256 in lower-case hex."""

    path: str
    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a bundle holds.

    `inputs` and `outputs` use Open Inference Protocol names and datatypes; a first dimension of
    `-1` is the batch. `contains_code` says that a file beside the served one runs code when it is
    loaded (`model.pt2`); devices never open such files.
    """

    schema: Literal["edgeconsole.bundle/1"] = SCHEMA
    model: str
    version: str
    variant: str = "fp32"
    task: Task
    format: Literal["onnx", "tflite"] = "onnx"
    contains_code: bool = False
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    labels: tuple[str, ...] | None = None
    metric: str = "accuracy"
    files: tuple[BundleFile, ...]
    created: str = ""
    producer: str = ""
    static_answer: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    """By output: what to answer when no model can; not in the file where nobody declared one."""
    runs_in: Execution | msgspec.UnsetType = msgspec.UNSET
    """The engine it was made for; not in the file of a model that runs as it was packed."""

    def __post_init__(self) -> None:
        """Refuse what the types alone cannot: bad names, repeated names, unknown files."""
        check_model_name(self.model)
        check_version(self.version)
        if not _NAME.fullmatch(self.variant):
            raise ValueError(f"variant {self.variant!r} is not a name like 'fp32' or 'int8-static'")
        for kind, specs in (("input", self.inputs), ("output", self.outputs)):
            names = [spec.name for spec in specs]
            if not names or len(set(names)) != len(names):
                raise ValueError(f"{kind} names must be there and differ, got {names}")
            bad = [spec for spec in specs if any(dim < -1 for dim in spec.shape)]
            if bad:
                raise ValueError(f"{kind} {bad[0].name!r} has a dimension below -1")
        if self.static_answer is not msgspec.UNSET:
            static_rows(self.outputs, self.static_answer)
        _check_files(self.files, self.model_file)
        if not self.model_file.endswith(f".{self.format}"):
            raise ValueError(f"format {self.format!r} is not what {self.execution.engine} reads")
        if self.contains_code != any(file.path in CODE_FILES for file in self.files):
            raise ValueError("contains_code does not agree with the files listed")

    def file(self, path: str) -> BundleFile | None:
        """Return the entry of one file, or `None` if the bundle does not have it."""
        return next((file for file in self.files if file.path == path), None)

    @property
    def execution(self) -> Execution:
        """Return the engine and the precision it is served with."""
        return PLAIN if isinstance(self.runs_in, msgspec.UnsetType) else self.runs_in

    @property
    def model_file(self) -> str:
        """Return the name of the file that is served."""
        return SERVED_FILES[self.execution.engine]

    @property
    def key(self) -> str:
        """Return `model/version/variant`, the way people and commands name a bundle."""
        return f"{self.model}/{self.version}/{self.variant}"

    @property
    def is_batched(self) -> bool:
        """Say whether every input and output has a free batch dimension."""
        return all(spec.is_batched for spec in (*self.inputs, *self.outputs))


def check_model_name(name: str) -> str:
    """Return a model name that is fit for paths and commands; raises `ValueError` otherwise."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"model name {name!r} must be 1 to 64 of a-z 0-9 . _ - and start with a letter or digit"
        )
    return name


def check_version(version: str) -> str:
    """Return a model version such as `1` or `2.0.1`; raises `ValueError` otherwise."""
    if not _VERSION.fullmatch(version):
        raise ValueError(f"version {version!r} must be 1 to 32 letters, digits or . _ + -")
    return version


def _check_files(files: tuple[BundleFile, ...], served: str) -> None:
    paths = [file.path for file in files]
    if len(set(paths)) != len(paths):
        raise ValueError(f"a file is listed twice in {paths}")
    for file in files:
        if file.path not in FILE_NAMES:
            raise ValueError(f"file {file.path!r} is not one a bundle may have: {list(FILE_NAMES)}")
        if file.size < 0 or not _SHA256.fullmatch(file.sha256):
            raise ValueError(f"file {file.path!r} needs a size in bytes and a SHA-256 in hex")
    for needed in (served, GOLDEN):
        if needed not in paths:
            raise ValueError(f"file {needed!r} is missing from the list")
    others = {*SERVED_FILES.values()}.intersection(paths) - {served}
    if others:
        raise ValueError(f"file {min(others)!r} is for another engine than {served!r}")


def decode_manifest(data: bytes, *, where: str) -> Manifest:
    """Decode `manifest.json`; raises `BundleError` that says what is wrong and where."""
    if len(data) > MAX_MANIFEST_BYTES:
        raise BundleError(f"{where}: manifest is {len(data)} bytes, more than {MAX_MANIFEST_BYTES}")
    try:
        return msgspec.json.decode(data, type=Manifest)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BundleError(
            f"{where}: {error}", hint="pack the model again, or copy it again"
        ) from error


def encode_manifest(manifest: Manifest) -> bytes:
    """Encode a manifest as readable JSON; the bytes are what a bundle's digest is taken of."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
