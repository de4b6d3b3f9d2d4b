"""Takes the optimiser's place: does at once what the file `behaviour` in the agent's home says.

It notes each start in `starts.jsonl`: its pid, its niceness, what it was asked for.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path

import msgspec
import numpy as np

from edgeconsole.bundle import Bundle
from edgeconsole.bundle.writer import Contents, write_bundle
from edgeconsole.protocol.optimization import (
    Constraints,
    MeasuredOn,
    Objective,
    OptimizationReport,
    Variant,
    VariantStatus,
)
from edgeconsole.specs import ModelOptimizationLevel

REPORTS = {
    "other": {"model": "somebody-elses"},
    "wrong": {"shift": 1.0},
    "nothing": {"fits": False},
}


def main() -> int:
    """Behave as told."""
    options = parsed()
    home = options.cache.parents[1]
    behaviour = (home / "behaviour").read_text().split()
    note = {"pid": os.getpid(), "nice": os.nice(0), "arguments": sys.argv[1:]}
    with (home / "starts.jsonl").open("a") as file:
        file.write(json.dumps(note) + "\n")
    say("build", "int8-minmax", 1, 3)
    bundle = Bundle.open(options.bundle, on_device=True)
    for each in behaviour:
        code = behave(each, home, bundle, options)
        if code is not None:
            return code
    return report(bundle, options)


def behave(how: str, home: Path, bundle: Bundle, options: argparse.Namespace) -> int | None:
    """Do one thing; returns an exit code if it was the last."""
    match how:
        case "wait":
            while not (home / "go").exists():
                time.sleep(0.01)
        case "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        case "child":
            if os.fork() == 0:
                (home / "child").write_text(str(os.getpid()))
                time.sleep(600)
        case "apart":
            start_apart(home)
        case "crash":
            raise RuntimeError("the tensors are on fire \x1b[31m")
        case "refuse":
            print("edgeconsole-agent optimize: No space left on device", file=sys.stderr)
            return 2
        case "garbage" | "flood":
            amount = 100 if how == "garbage" else 1 << 30
            for _ in range(amount):
                os.write(1, bytes(range(256)))
                os.write(2, bytes(range(256)))
            return 0
        case _ if how in REPORTS:
            return report(bundle, options, **REPORTS[how])
    return None


def start_apart(home: Path) -> None:
    """Start a child with a group of its own, which lasts as long as this program."""
    parent = os.getpid()
    if os.fork() != 0:
        return
    os.setpgid(0, 0)
    (home / "apart").write_text(str(os.getpid()))
    while os.getppid() == parent:
        time.sleep(0.01)
    os._exit(0)


def say(stage: str, name: str, done: int, of: int) -> None:
    """Say how far it is."""
    word = {"stage": stage, "name": name, "done": done, "of": of, "left_s": 9.0}
    print(json.dumps(word), file=sys.stderr, flush=True)


def report(
    bundle: Bundle,
    options: argparse.Namespace,
    *,
    fits: bool = True,
    model: str = "",
    shift: float = 0.0,
) -> int:
    """Write a variant that is the model itself under another name, and print a report."""
    inputs, outputs = bundle.golden()
    manifest = bundle.manifest
    options.out.mkdir(parents=True)
    variant = write_bundle(
        options.out / "int8-minmax",
        Contents(
            onnx=bundle.file_path("model.onnx").read_bytes(),
            golden_inputs=inputs,
            golden_outputs={name: array + np.float32(shift) for name, array in outputs.items()},
        ),
        model=manifest.model,
        version=manifest.version,
        variant="int8-minmax",
        task=manifest.task,
        inputs=manifest.inputs,
        outputs=manifest.outputs,
        labels=manifest.labels,
    )
    status = VariantStatus.OK if fits else VariantStatus.EXCLUDED
    row = Variant(
        name="int8-minmax",
        technique="static int8",
        engine="onnxruntime",
        threads=1,
        p50_ms=0.5,
        speedup=2.0,
        size_bytes=1000,
        status=status,
        reason="" if fits else "too slow",
        digest=variant.digest,
    )
    packed = Variant(
        name="fp32",
        technique="fp32",
        engine="onnxruntime",
        threads=1,
        p50_ms=1.0,
        speedup=1.0,
        size_bytes=4000,
        status=status,
        reason="" if fits else "too slow",
        digest=bundle.digest,
    )
    found = OptimizationReport(
        model=model or manifest.model,
        version=manifest.version,
        level=ModelOptimizationLevel(options.level),
        objective=Objective.P99,
        constraints=Constraints(max_drop=options.max_drop),
        baseline=msgspec.structs.replace(packed, name="baseline"),
        variants=(row, packed),
        recommended="int8-minmax" if fits else None,
        why=("it is the fastest" if fits else "nothing keeps to the constraints",),
        device=MeasuredOn(fingerprint="f", cpu="a processor", cores=2, machine="m", engines={}),
        evaluation="evaluation, 10 rows",
    )
    print(msgspec.json.encode(found).decode())
    return 0 if fits else 1


def parsed() -> argparse.Namespace:
    """Return what it is asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle", type=Path)
    for name in ("--cache", "--out"):
        parser.add_argument(name, type=Path, required=True)
    for name in ("--level", "--objective", "--budget"):
        parser.add_argument(name, required=True)
    parser.add_argument("--max-drop", type=float, required=True)
    for name in ("--max-p99-ms", "--max-memory-mb", "--max-size-mb"):
        parser.add_argument(name, type=float)
    for name in ("--json", "--progress", "--no-torch"):
        parser.add_argument(name, action="store_true", required=True)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
