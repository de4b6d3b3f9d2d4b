"""`edgeconsole pack`: from a PyTorch model to a bundle that devices can serve."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from edgeconsole.packing import ExampleInputs
    from edgeconsole.protocol.tensors import Array

_DESCRIPTION: Final = """\
Export a PyTorch model to ONNX, prove that it gives the same values, and write a bundle.

SOURCE is package.module:name, where name is a torch.nn.Module, or a callable that returns one or
(module, example_inputs); the current folder is importable. Or it is a .pt2 file written by
torch.export.save. Both run the code they hold: pack only what you trust.
"""
_EPILOG: Final = """\
example inputs, one --example per parameter of forward, in order (or all with NAME=):
  --example 1x1x8x8:FP32           standard normal values, always the same
  --example 1x16:INT64:1000        integers 0 to 999 ('1x16:INT64<1000' in quotes works too)
  --example ids=1x16:INT64:1000 --example mask=1x16:BOOL
  --example scalar:FP32            no dimensions (needs --static-batch)
One row is enough: the first dimension becomes the batch unless --static-batch is given.

data files are numpy .npz archives with one array [rows, ...] per input name; the evaluation file
also has `labels`. What they look like depends on --metric, which judges the first output:
  accuracy, error_rate, f1     integers [rows, ...] for scores [rows, ..., classes]
  top5_accuracy                the same, for six classes or more
  f1, auc, average_precision   0 and 1 [rows] for one score per row
  iou                          integers [rows, ...] for scores [rows, classes, ...]
  mae, rmse                    numbers of the output's shape, or [rows] for [rows, 1]
  sequence_error_rate, phoneme_error_rate
                               integers [rows, length], 1 and up, -1 behind the end, for scores
                               [rows, frames, classes] read by CTC with class 0 as the blank

example:
  edgeconsole pack mymodel:build --example 1x1x8x8:FP32 -o digits \\
      --name digits --version 1 --task classification --labels 0,1,2,3,4,5,6,7,8,9
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register `pack` and its arguments."""
    parser = subparsers.add_parser(
        "pack",
        help="turn a PyTorch model into a bundle",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("source", metavar="SOURCE", help="package.module:name or a .pt2 file")
    add("-o", "--out", required=True, type=Path, metavar="OUT", help="folder of the bundle")
    add("--name", required=True, help="model name: a-z 0-9 . _ -")
    add("--version", required=True, help="model version, for example 1 or 2.0.1")
    add(
        "--task",
        required=True,
        help="what the answers mean: classification, detection, regression or custom",
    )
    examples = parser.add_mutually_exclusive_group()
    examples.add_argument(
        "--example", action="append", metavar="SPEC", help="an example input (see below)"
    )
    examples.add_argument(
        "--example-file", type=Path, metavar="NPZ", help="example inputs by parameter name"
    )
    labels = parser.add_mutually_exclusive_group()
    labels.add_argument("--labels", metavar="A,B,C", help="names of the classes, in order")
    labels.add_argument("--labels-file", type=Path, metavar="FILE", help="one class name per line")
    add(
        "--metric",
        default="accuracy",
        help="what variants are judged by (default: accuracy; see below)",
    )
    add("--calibration", type=Path, metavar="NPZ", help="inputs for quantisation")
    add("--evaluation", type=Path, metavar="NPZ", help="inputs and `labels` to measure on")
    add("--static-batch", action="store_true", help="keep the example's batch size")
    add(
        "--static-answer",
        metavar="JSON",
        help='what to answer when no model can, by output: {"logits": 0.0} or one row of values',
    )
    add("--variant", default="fp32", help="name of this form of the model (default: fp32)")
    add("--json", action="store_true", help="print the manifest as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Pack and print what was written; raises `PackError`."""
    from edgeconsole.bundle import Bundle
    from edgeconsole.commands.bundle import print_bundle
    from edgeconsole.packing import load_source, pack_model

    if args.source.endswith(".pt2"):
        print(
            f"edgeconsole: warning: loading {args.source} runs it as code; pack only what you trust",
            file=sys.stderr,
        )
    module, brought = load_source(args.source)
    evaluation = None
    if args.evaluation is not None:
        evaluation = _split_labels(args.evaluation)
    pack_model(
        module,
        _examples(args, brought),
        args.out,
        name=args.name,
        version=args.version,
        task=args.task,
        calibration=None if args.calibration is None else read_npz(args.calibration),
        evaluation=evaluation,
        labels=_labels(args),
        metric=args.metric,
        dynamic_batch=not args.static_batch,
        variant=args.variant,
        static_answer=_static_answer(args.static_answer),
    )
    print_bundle(Bundle.open(args.out), as_json=args.json)
    return 0


def read_npz(path: Path) -> dict[str, Array]:
    """Return the arrays of an `.npz` archive by name; raises `PackError`."""
    import zipfile

    import numpy as np

    from edgeconsole.errors import PackError

    hint = "write it with numpy.savez(path, name=array)"
    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise PackError(f"{path}: is a single array, not an .npz archive", hint=hint)
        with archive:
            return {name: archive[name] for name in archive.files}
    except OSError as error:
        raise PackError(f"{path}: {error.strerror or error}", hint=hint) from error
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise PackError(f"{path}: is not a readable .npz archive: {error}", hint=hint) from error


def _split_labels(path: Path) -> tuple[dict[str, Array], Array]:
    from edgeconsole.errors import PackError

    arrays = read_npz(path)
    labels = arrays.pop("labels", None)
    if labels is None:
        raise PackError(f"{path}: has no array `labels`", hint="add one label per row")
    return arrays, labels


def _static_answer(text: str | None) -> dict[str, object] | None:
    import msgspec

    from edgeconsole.errors import PackError

    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=dict[str, object])
    except msgspec.MsgspecError as error:
        raise PackError(
            f"--static-answer is not a JSON object: {error}", hint='write {"logits": 0.0}'
        ) from error


def _labels(args: argparse.Namespace) -> list[str] | None:
    from edgeconsole.errors import PackError

    if args.labels is not None:
        return [label.strip() for label in args.labels.split(",")]
    if args.labels_file is None:
        return None
    try:
        text = args.labels_file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PackError(f"{args.labels_file}: cannot be read as text: {error}") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def _examples(args: argparse.Namespace, brought: ExampleInputs | None) -> ExampleInputs:
    from edgeconsole.errors import PackError
    from edgeconsole.packer.example_spec import make_examples, parse_spec

    if args.example is not None:
        return make_examples([parse_spec(text) for text in args.example])
    if args.example_file is not None:
        return read_npz(args.example_file)
    if brought is None:
        raise PackError(
            "there are no example inputs",
            hint="add --example or --example-file, or return (module, example_inputs)",
        )
    return brought
