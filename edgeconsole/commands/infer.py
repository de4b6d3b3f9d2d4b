"""`edgeconsole infer`: ask a model once, from the shell."""

from __future__ import annotations

import argparse
import asyncio
import json
import zipfile
import zlib
from pathlib import Path

import numpy as np

from edgeconsole.client import EdgeClient, InferResult
from edgeconsole.errors import AuthError, ConfigError
from edgeconsole.fleet.inventory import find_fleet_file, load_inventory
from edgeconsole.protocol.inference import DEFAULT_PRIORITY
from edgeconsole.protocol.tensors import Array, Datatype
from edgeconsole.text import printable
from edgeconsole.transport import read_token, token_from_environment


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the verb."""
    parser = verbs.add_parser("infer", help="ask a model once")
    parser.add_argument(
        "device", metavar="URL", help="ws://HOST:PORT, or a device of the fleet file"
    )
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument(
        "--input", type=Path, required=True, metavar="file.npz", help="arrays by input name"
    )
    parser.add_argument("--deadline-ms", type=float, metavar="MS")
    parser.add_argument("--priority", type=int, default=DEFAULT_PRIORITY, metavar="0..10")
    parser.add_argument(
        "--token-file",
        type=Path,
        help="default: $EDGECONSOLE_TOKEN, else the fleet file's entry for this device",
    )
    parser.add_argument("--json", action="store_true", help="print the whole answer as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Send the request and print the answer."""
    inputs = _read_inputs(options.input)
    url, token = _find_device(options)
    result = asyncio.run(_ask(url, token, options, inputs))
    if options.json:
        print(json.dumps(_answer_json(result)))
        return 0
    for name, array in result.outputs.items():
        print(f"{printable(name)} {Datatype.of(array.dtype)} {list(array.shape)}")
        print(np.array2string(array, threshold=50, precision=4))
    timing = result.timing
    line = (
        f"{result.model}/{result.model_version}/{result.variant} on {result.device}, rung "
        f"{result.rung}: queue {timing.queue_ms:.2f} ms, infer {timing.infer_ms:.2f} ms, "
        f"total {timing.total_ms:.2f} ms, round trip {timing.round_trip_ms:.2f} ms"
    )
    print(printable(line))
    return 0


async def _ask(
    url: str, token: str, options: argparse.Namespace, inputs: dict[str, Array]
) -> InferResult:
    async with EdgeClient(url, token=token) as client:
        return await client.infer(
            options.model, inputs, deadline_ms=options.deadline_ms, priority=options.priority
        )


def _find_device(options: argparse.Namespace) -> tuple[str, str]:
    """Return the address and the token: given, from the environment, or from the fleet file."""
    given = options.device
    is_url = "://" in given
    token = read_token(options.token_file) if options.token_file else token_from_environment()
    if is_url and token is not None:
        return given, token
    try:
        inventory = load_inventory(find_fleet_file(options.fleet))
    except ConfigError as error:
        if not is_url:
            raise
        raise AuthError(
            f"no token for {given}", hint="give --token-file FILE or set EDGECONSOLE_TOKEN"
        ) from error
    for device in inventory.spec.devices:
        if given.rstrip("/") in (device.id, device.url.rstrip("/")):
            return device.url, token or inventory.token(device)
    raise ConfigError(
        f"{given!r} is not a device of {inventory.file}",
        hint="give a URL with --token-file, or one of: "
        + ", ".join(device.id for device in inventory.spec.devices),
    )


def _read_inputs(path: Path) -> dict[str, Array]:
    try:
        with path.open("rb") as file:
            arrays = np.load(file, allow_pickle=False)
            if isinstance(arrays, np.ndarray):
                raise ConfigError(
                    f"{path}: is one array without a name", hint="save it with numpy.savez"
                )
            inputs = {name: arrays[name] for name in arrays.files}
        for array in inputs.values():
            Datatype.of(array.dtype)
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: there is no such file") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ConfigError(
            f"{path}: is not an .npz of plain arrays: {error}", hint="save it with numpy.savez"
        ) from error
    return inputs


def _answer_json(result: InferResult) -> dict[str, object]:
    return {
        "model_name": result.model,
        "model_version": result.model_version,
        "variant": result.variant,
        "device": result.device,
        "rung": result.rung.value,
        "degraded": result.degraded,
        "timing": {
            "queue_ms": result.timing.queue_ms,
            "infer_ms": result.timing.infer_ms,
            "total_ms": result.timing.total_ms,
            "round_trip_ms": result.timing.round_trip_ms,
        },
        "outputs": [
            {
                "name": name,
                "datatype": Datatype.of(array.dtype).value,
                "shape": list(array.shape),
                "data": array.ravel().tolist(),
            }
            for name, array in result.outputs.items()
        ],
    }
