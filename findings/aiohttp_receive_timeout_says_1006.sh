#!/usr/bin/env bash
# aiohttp 3.14.5 (PyPI): receive(timeout=...) that runs out, on a connection that is well.
#
# guess: TimeoutError, and the connection's state is untouched: close_code stays None until there is a close.
# seen:  close_code is 1006 (connection lost) from then on, though closed is False and the next messages arrive and are sent.
# so:    do not ask close_code whether the connection lives; only closed tells.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages aiohttp==3.14.5
run_python <<'PYTHON'
import asyncio

import aiohttp
from aiohttp import web

from find import seen


async def main():
    async def echo(request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data)
        return socket

    app = web.Application()
    app.router.add_get("/", echo)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(f"ws://127.0.0.1:{runner.addresses[0][1]}/") as socket:
            seen("close_code before", socket.close_code, None)
            try:
                await socket.receive(timeout=0.3)
                raise SystemExit("a message without a sender")
            except asyncio.TimeoutError:
                seen("after the time-out: close_code, closed", (socket.close_code, socket.closed), (1006, False))
            await socket.send_str("still here")
            answer = (await socket.receive(timeout=5)).data
            seen("answer, close_code", (answer, socket.close_code), ("still here", 1006))
    await runner.cleanup()


asyncio.run(main())
PYTHON
