#!/usr/bin/env bash
# aiohttp 3.14.5 (PyPI), the server: a client that offers its subprotocols in two header lines.
#
# guess: the lines are one list, as RFC 6455 (11.3.4) says: the subprotocol of the second line is found.
# seen:  only the first line is read: the handshake succeeds without a subprotocol. With both names in one line it is found.
#        websockets 17.4 (PyPI) and ws 8.23.0 (npm) find it either way.
# so:    a client (or a proxy that splits or adds such lines) sends one line; a server in aiohttp joins headers.getall() itself.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages aiohttp==3.14.5 websockets==17.4
node_packages ws@8.23.0
run_python <<'PYTHON'
import asyncio
import os
import subprocess

import websockets
from aiohttp import web

from find import seen
from handshake import chosen

NODE = """
const { WebSocketServer } = require("ws");
const handleProtocols = (offered) => (offered.has("rtm.v1") ? "rtm.v1" : false);
const server = new WebSocketServer({ host: "127.0.0.1", port: 0, handleProtocols });
server.on("listening", () => console.log(server.address().port));
"""
OFFERS = (["Sec-WebSocket-Protocol: foo, rtm.v1"], ["Sec-WebSocket-Protocol: foo", "Sec-WebSocket-Protocol: rtm.v1"])


async def main():
    async def handle(request):
        socket = web.WebSocketResponse(protocols=("rtm.v1",))
        await socket.prepare(request)
        await socket.receive()
        return socket

    app = web.Application()
    app.router.add_get("/", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()

    async def wait(connection):
        await connection.wait_closed()

    other = await websockets.serve(wait, "127.0.0.1", 0, subprotocols=["rtm.v1"])
    folder = os.environ["FIND_FOLDER"]
    environment = {**os.environ, "NODE_PATH": os.path.join(folder, "node_modules")}
    node = await asyncio.create_subprocess_exec("node", "-e", NODE, stdout=subprocess.PIPE, env=environment)
    try:
        for name, port, outcomes in (
            ("aiohttp", runner.addresses[0][1], ((101, "rtm.v1"), (101, None))),
            ("websockets", other.sockets[0].getsockname()[1], ((101, "rtm.v1"), (101, "rtm.v1"))),
            ("ws", int(await node.stdout.readline()), ((101, "rtm.v1"), (101, "rtm.v1"))),
        ):
            answers = tuple([await chosen(port, offer, "sec-websocket-protocol") for offer in OFFERS])
            seen(f"{name}: status and subprotocol for one line, two lines", answers, outcomes)
    finally:
        node.kill()
        await node.wait()
        other.close()
        await runner.cleanup()


asyncio.run(main())
PYTHON
