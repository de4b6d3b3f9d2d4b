"""`edgeconsole-agent`: start an agent from its `device.toml`, or check the file."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from edgeconsole import __version__
from edgeconsole.errors import EdgeConsoleError
from edgeconsole.runtime.config import AgentSettings, check_settings, load_settings
from edgeconsole.runtime.linux import keep_freed_memory, signal_parent_death
from edgeconsole.text import discard_output

EXIT_OK: Final = 0
EXIT_USAGE: Final = 2


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    try:
        code = _run_verb(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output has gone (`| head`): nobody is left to tell.
        discard_output()
        return EXIT_OK
    except EdgeConsoleError as error:
        print(f"edgeconsole-agent: {error}", file=sys.stderr)
        return EXIT_USAGE
    return code


def _run_verb(given: list[str]) -> int:
    if given[:1] == ["ladder"]:
        from edgeconsole.runtime.failsafe import replay

        return replay.main(given[1:])
    if given[:1] == ["sensors"]:
        from edgeconsole.runtime.health import cli as sensors

        return sensors.main(given[1:])
    if given[:1] == ["thermal"]:
        from edgeconsole.runtime.health import thermal_replay

        return thermal_replay.main(given[1:])
    if given[:1] == ["optimize"]:
        # A program of its own: this one never imports an engine.
        module = [sys.executable, "-m", "edgeconsole.runtime.optimizer.cli", *given[1:]]
        os.execv(sys.executable, module)  # noqa: S606 - our own interpreter and module
    options = _parser().parse_args(given)
    settings = load_settings(options.config)
    if options.record is not None:
        settings = replace(settings, record_path=options.record.absolute())
    if options.check:
        check_settings(settings)
        models = len(settings.config.model_specs)
        print(f"{options.config}: ok (agent {settings.config.agent_id!r}, {models} models)")
        return EXIT_OK
    _set_up_logging(options.log_level)
    if options.exit_with_parent:
        signal_parent_death(signal.SIGTERM)
    return _run(settings)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edgeconsole-agent",
        description="Serve AI models on this device.",
        epilog="edgeconsole-agent optimize BUNDLE makes a model smaller and faster on this device. "
        "edgeconsole-agent ladder --replay FILE prints the failsafe ladder's transitions for "
        "recorded evidence. edgeconsole-agent sensors prints what this device measures. "
        "recorded evidence. edgeconsole-agent thermal --replay FILE prints what the thermal policy "
        "would do in a recorded run.",
    )
    parser.add_argument(
        "--config",
        type=Path,
        required=True,
        metavar="device.toml",
        help="the agent's configuration",
    )
    parser.add_argument(
        "--check", action="store_true", help="validate the configuration and its bundles, then exit"
    )
    parser.add_argument(
        "--log-level", choices=("debug", "info", "warning", "error"), default="info"
    )
    parser.add_argument(
        "--record",
        type=Path,
        metavar="FILE",
        help="write what the failsafe ladders look at, to be replayed ([failsafe] record)",
    )
    parser.add_argument(
        "--exit-with-parent",
        action="store_true",
        help="drain and end when the process that started this one ends",
    )
    parser.add_argument("--version", action="version", version=f"edgeconsole-agent {__version__}")
    return parser


def _set_up_logging(level: str) -> None:
    logging.Formatter.converter = time.gmtime
    logging.basicConfig(
        level=level.upper(),
        format="%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
    )
    # The library logs every refused handshake with a stack trace; the agent's own events suffice.
    logging.getLogger("websockets").setLevel(logging.CRITICAL)


def _run(settings: AgentSettings) -> int:
    try:
        import uvloop
    except ImportError:
        return asyncio.run(_serve(settings))
    return uvloop.run(_serve(settings))


async def _serve(settings: AgentSettings) -> int:
    from edgeconsole.runtime.agent import EdgeIntelligentAgent

    keep_freed_memory()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    agent = EdgeIntelligentAgent(settings)
    # What lives now lives for ever: keep the collector from walking it (p99.9 of the loop).
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 1_000)
    await agent.run(stop)
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
