#!/usr/bin/env bash
# websockets 17.4 (PyPI): "async for connection in connect(...)" against a server that accepts and closes with 1013.
#
# guess: the documented back-off of this loop holds here too: 1013 says "try again later", so two seconds see a few tries.
# seen:  the back-off counts failed handshakes only. A connection that was opened and closed at once is tried again at once:
#        more than 10 connections in two seconds.
# so:    a server that sheds load with a close code gets more load from these clients: refuse the handshake with a 503, or
#        sleep in the loop.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages websockets==17.4
run_python <<'PYTHON'
import asyncio
import contextlib

import websockets

from find import seen


async def main():
    accepted = 0

    async def busy(connection):
        nonlocal accepted
        accepted += 1
        await connection.close(1013, "try again later")

    async def client(port):
        async for connection in websockets.connect(f"ws://127.0.0.1:{port}/"):
            with contextlib.suppress(websockets.ConnectionClosed):
                async for _ in connection:
                    pass

    async with websockets.serve(busy, "127.0.0.1", 0) as server:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(client(server.sockets[0].getsockname()[1]), 2)
    print(f"seen: {accepted} connections in two seconds")
    seen("more than 10 connections in two seconds", accepted > 10, True)


asyncio.run(main())
PYTHON
