"""`edgeconsole bundle`: look at a bundle, or check that it is whole and does what it promises."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgeconsole.bundle import Bundle
    from edgeconsole.engines import Execution
    from edgeconsole.protocol.tensors import TensorSpec


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register `bundle show` and `bundle verify`."""
    parser = subparsers.add_parser("bundle", help="show or verify a bundle")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, what in (
        ("show", "print what a bundle holds"),
        ("verify", "hash its files and run its golden inputs; exit 1 if anything is wrong"),
    ):
        action = actions.add_parser(name, help=what, description=what.capitalize() + ".")
        action.add_argument("path", type=Path, metavar="PATH", help="folder of the bundle")
        action.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the action; raises `BundleError` if `PATH` cannot be shown or is no folder."""
    from edgeconsole.bundle import Bundle

    if args.action == "verify":
        return _verify(args.path, as_json=args.json)
    print_bundle(Bundle.open(args.path), as_json=args.json)
    return 0


def print_bundle(bundle: Bundle, *, as_json: bool) -> None:
    """Print a bundle's manifest, path and digest as a table or as JSON."""
    if as_json:
        import msgspec

        manifest = bundle.manifest
        document = {"path": str(bundle.path), "digest": bundle.digest, "manifest": manifest}
        print(msgspec.json.encode(document).decode())
        return
    for line in describe(bundle):
        print(line)


def describe(bundle: Bundle) -> Iterator[str]:
    """Yield the lines of a bundle's table."""
    manifest = bundle.manifest
    rows = {
        "bundle": manifest.key,
        "path": str(bundle.path),
        "digest": bundle.digest,
        "task": f"{manifest.task}, judged by {manifest.metric}",
        "labels": ", ".join(manifest.labels or ("none",)),
        "batch": "free" if manifest.is_batched else "fixed",
        "engine": _engine(manifest.execution),
        "code": "model.pt2 runs code when loaded" if manifest.contains_code else "none",
        "created": f"{manifest.created or 'unknown'} by {manifest.producer or 'unknown'}",
    }
    for label, text in rows.items():
        yield f"{label:<9} {text}"
    for kind, specs in (("inputs", manifest.inputs), ("outputs", manifest.outputs)):
        yield ""
        yield kind
        width = max(len(spec.name) for spec in specs)
        yield from (f"  {spec.name:<{width}}  {spec.datatype:<6}  {_shape(spec)}" for spec in specs)
    yield ""
    yield "files"
    width = max(len(file.path) for file in manifest.files)
    for file in manifest.files:
        yield f"  {file.path:<{width}}  {file.size:>12,} bytes  {file.sha256}"


def _engine(execution: Execution) -> str:
    rows = ", one row at a time" if execution.max_batch else ""
    return f"{execution.engine}, {execution.precision}{rows}"


def _shape(spec: TensorSpec) -> str:
    names = ["any" if dim == -1 else str(dim) for dim in spec.shape]
    if spec.is_batched:
        names[0] = "batch"
    return " x ".join(names) or "scalar"


def _verify(path: Path, *, as_json: bool) -> int:
    from edgeconsole.bundle import Bundle
    from edgeconsole.engines import check_engine
    from edgeconsole.errors import BackendError, BundleError
    from edgeconsole.packer.check import check_golden

    if not path.is_dir():
        raise BundleError(f"{path}: is not a folder", hint="give the folder of a bundle")
    reason, key, verdict = "", "", "damaged"
    try:
        bundle = Bundle.open(path)
        key = bundle.manifest.key
        bundle.verify()
        bundle.calibration()
        bundle.evaluation()
        check_engine(bundle.manifest.execution, key)
        check_golden(bundle)
    except BackendError as error:
        reason, verdict = str(error), "every hash matches, but the golden outputs cannot be run"
    except BundleError as error:  # the verdict is this command's result, not its failure
        reason = str(error)
    if as_json:
        import msgspec

        document = {"path": str(path), "bundle": key, "ok": not reason, "reason": reason}
        print(msgspec.json.encode(document).decode())
    elif reason:
        print(f"{verdict}: {reason}", file=sys.stderr)
    else:
        print(f"ok: {key}: every hash matches and the golden outputs are reproduced")
    return 1 if reason else 0
