"""What the optimiser's processes say to each other: JSON, one object a line.

Each child process gets requests on its standard input and answers each with one reply on its
standard output; what libraries print goes to standard error. Nothing a peer sent comes this way.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from edgeconsole.engines import Execution


class DataSet(StrEnum):
    """Which of a bundle's data a model is run on."""

    GOLDEN = "golden"
    CALIBRATION = "calibration"
    EVALUATION = "evaluation"


class Calibrator(StrEnum):
    """How the ranges of activations are taken from calibration data."""

    MINMAX = "minmax"
    PERCENTILE = "percentile"
    ENTROPY = "entropy"


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The request could not be done; the process may have ended with it."""

    reason: str


# To and from a probe: one model in one engine.


class Open(msgspec.Struct, frozen=True, tag=True):
    """Load a model file of this bundle's form."""

    bundle: str
    model: str
    execution: Execution | None
    """`None`: an exported program in torch."""
    threads: int


class Opened(msgspec.Struct, frozen=True, tag=True):
    """The model is loaded and has answered once."""

    load_ms: float


class Time(msgspec.Struct, frozen=True, tag=True):
    """Run one row again and again for about `budget_ms`, at least `least_runs` times."""

    budget_ms: float
    least_runs: int


class Timed(msgspec.Struct, frozen=True, tag=True):
    """How long each run took, in order."""

    ms: list[float]
    cpu_ms: float
    """Processor time of all runs together."""
    peak_rss_bytes: int


class Answer(msgspec.Struct, frozen=True, tag=True):
    """Run the first `rows` rows of a data set and write the outputs to a file."""

    data: DataSet
    rows: int
    out: str


class Answered(msgspec.Struct, frozen=True, tag=True):
    """The outputs are in the file."""

    rows: int
    peak_rss_bytes: int


ToProbe = Open | Time | Answer
FromProbe = Opened | Timed | Answered | Failed

# To and from a quantiser.


class Quantize(msgspec.Struct, frozen=True, tag=True):
    """Quantise the bundle's model to an ONNX file; without a calibrator, dynamically."""

    bundle: str
    model: str
    """The float model's file: the bundle's, or one that was made from it."""
    folder: str
    """For what several requests share, such as ranges; one for each float model."""
    out: str
    calibrator: Calibrator | None = None
    products_only: bool = False
    """Convolutions and matrix products; the rest stays float."""
    weights_only: bool = False
    """Store weights in int8 and run in float."""
    keep: tuple[str, ...] = ()
    """Names of nodes that stay float."""


class Quantized(msgspec.Struct, frozen=True, tag=True):
    """The file is written."""

    quantized: int
    of: int
    """The model's convolutions, products and recurrent layers."""


class Rank(msgspec.Struct, frozen=True, tag=True):
    """Find out which nodes suffer most from being quantised."""

    bundle: str
    model: str
    folder: str
    calibrator: Calibrator
    time_limit_s: float


class Ranked(msgspec.Struct, frozen=True, tag=True):
    """Groups of nodes, the most sensitive first; `complete` unless time ran out."""

    groups: list[tuple[str, ...]]
    complete: bool


# To and from a converter.


class TfliteForm(StrEnum):
    """What a converter makes: a float model, or int8 with ranges found at run time or before."""

    FLOAT = "float"
    DYNAMIC = "dynamic"
    STATIC = "static"


class Convert(msgspec.Struct, frozen=True, tag=True):
    """Write a bundle's model for one row as LiteRT reads it; needs `model.pt2`, which runs code."""

    bundle: str
    form: TfliteForm
    float_file: str
    """What is written for `FLOAT`, and what the others are made of."""
    out: str


class Converted(msgspec.Struct, frozen=True, tag=True):
    """The file is written."""

    note: str


FromConverter = Converted | Failed

ToQuantizer = Quantize | Rank
FromQuantizer = Quantized | Ranked | Failed
