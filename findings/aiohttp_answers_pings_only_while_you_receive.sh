#!/usr/bin/env bash
# aiohttp 3.14.5 (PyPI): a server's handler that only sends, and a client that pings or leaves.
#
# guess: with autoping (the default) the library answers a ping by itself, and a send to a client that has closed fails.
# seen:  pings are answered inside receive() only: no pong comes while the handler sends or waits. The client's close frame is
#        not seen either: the handler goes on sending without an error, and the client waits for the answer to its close.
# so:    a handler that pushes needs a second task in receive(), or clients with a keep-alive give the connection up.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages aiohttp==3.14.5 websockets==17.4
run_python <<'PYTHON'
import asyncio
import logging

import websockets
from aiohttp import web

from find import seen

logging.disable(logging.CRITICAL)


async def main():
    sends_after_close = 0
    closed = asyncio.Event()

    async def push(request):
        nonlocal sends_after_close
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        for _ in range(30):
            await socket.send_str("tick")
            sends_after_close += closed.is_set()
            await asyncio.sleep(0.1)
        return socket

    async def receive(request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for _ in socket:
            pass
        return socket

    app = web.Application()
    app.router.add_get("/push", push)
    app.router.add_get("/receive", receive)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"ws://127.0.0.1:{runner.addresses[0][1]}"

    async def pong_comes(path):
        connection = await websockets.connect(url + path, ping_interval=None, close_timeout=1.5)
        try:
            await asyncio.wait_for(await connection.ping(), 1)
            return True, connection
        except asyncio.TimeoutError:
            return False, connection

    answered, connection = await pong_comes("/receive")
    seen("pong from a handler that receives", answered, True)
    await connection.close()

    answered, connection = await pong_comes("/push")
    seen("pong from a handler that only sends", answered, False)
    closed.set()
    await connection.close()
    seen("close frame in answer to the client's", connection.close_code, 1006)
    print(f"seen: {sends_after_close} sends without an error after the client's close frame")
    seen("more than 5 of them", sends_after_close > 5, True)
    await runner.cleanup()


asyncio.run(main())
PYTHON
