"""A websocket server that sends every message back: what the wire alone costs.

Started by the harness as `python -m benchmarks.echo PORT`; same library, loop and settings as the
agent's.
"""

from __future__ import annotations

import asyncio
import gc
import sys

from websockets.asyncio.server import ServerConnection, serve


async def _echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


async def _serve(port: int) -> None:
    async with serve(
        _echo,
        "127.0.0.1",
        port,
        compression=None,
        server_header=None,
        max_size=64 * 1024 * 1024,
        max_queue=4,
        ping_interval=10,
        ping_timeout=10,
    ):
        gc.collect()
        gc.freeze()
        await asyncio.get_running_loop().create_future()


def main() -> None:
    """Serve until ended."""
    port = int(sys.argv[1])
    try:
        import uvloop
    except ImportError:
        asyncio.run(_serve(port))
    else:
        uvloop.run(_serve(port))


if __name__ == "__main__":
    main()
