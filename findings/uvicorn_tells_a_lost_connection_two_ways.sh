#!/usr/bin/env bash
# uvicorn 0.54.0 with starlette 1.10.0 (PyPI): the code of WebSocketDisconnect when a client's connection breaks.
#
# guess: 1006 (no close frame), unlike 1005 for a close frame without a code.
# seen:  1005 for both with the implementations "wsproto" and "websockets-sansio"; with "websockets" 1006 and 1005. So the
#        server's setting --ws decides whether an application can tell a break from a goodbye.
# so:    do not decide by 1005 or 1006 whether a user left or was cut off.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages uvicorn==0.54.0 starlette==1.10.0 websockets==17.4 wsproto==1.3.2
run_python <<'PYTHON'
import asyncio
import warnings

import uvicorn
import websockets
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocketDisconnect

from find import seen

warnings.simplefilter("ignore")
EMPTY_CLOSE = b"\x88\x80\0\0\0\0"


async def main(implementation):
    codes = asyncio.Queue()

    async def listen(socket):
        await socket.accept()
        try:
            while True:
                await socket.receive_text()
        except WebSocketDisconnect as end:
            codes.put_nowait(int(end.code))

    app = Starlette(routes=[WebSocketRoute("/", listen)])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", ws=implementation))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.05)
    url = f"ws://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"

    connection = await websockets.connect(url)
    connection.transport.abort()
    broken = await asyncio.wait_for(codes.get(), 5)
    connection = await websockets.connect(url)
    connection.transport.write(EMPTY_CLOSE)
    empty = await asyncio.wait_for(codes.get(), 5)
    await connection.wait_closed()
    server.should_exit = True
    await task
    return broken, empty


for implementation, codes in (("wsproto", (1005, 1005)), ("websockets-sansio", (1005, 1005)), ("websockets", (1006, 1005))):
    seen(f"{implementation}: broken, closed without a code", asyncio.run(main(implementation)), codes)
PYTHON
