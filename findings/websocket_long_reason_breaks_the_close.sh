#!/usr/bin/env bash
# aiohttp 3.14.5 and websocket-client 1.9.2 (PyPI), faye-websocket 0.11.4 and websocket 1.0.35 (npm): a close with a reason of 62
# characters that are 124 bytes, one more than fits into a close frame.
#
# guess: the library refuses the reason, as a browser does, or cuts it.
# seen:  these four send a close frame of 126 bytes, which RFC 6455 (5.5) forbids, and report success: the server fails the
#        connection with 1002 and never learns the code. websockets 17.4, tornado 6.6.1 (PyPI), ws 8.23.0 and undici 7.30.2
#        (npm) refuse it with an error.
# so:    cut reasons by bytes, to 123, also where they come from a translated text or an exception.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages aiohttp==3.14.5 websocket-client==1.9.2 websockets==17.4 tornado==6.6.1
node_packages ws@8.23.0 undici@7.30.2 faye-websocket@0.11.4 websocket@1.0.35
run_python <<'PYTHON'
import asyncio
import os

import aiohttp
import tornado.websocket
import websocket
import websockets

from find import seen

REASON = "é" * 62
NODE = """
const [name, url, reason] = process.argv.slice(1);
const libraries = {
    "ws": () => require("ws"),
    "undici": () => require("undici").WebSocket,
    "faye-websocket": () => require("faye-websocket").Client,
    "websocket": () => require("websocket").w3cwebsocket,
};
const socket = new (libraries[name]())(url);
socket.onopen = () => {
    try {
        socket.close(4000, reason);
        setTimeout(() => process.exit(), 1000);
    } catch {
        process.stdout.write("refused", () => process.exit());
    }
};
"""


async def with_websockets(url):
    connection = await websockets.connect(url)
    try:
        await connection.close(4000, REASON)
    finally:
        await connection.close()


async def with_aiohttp(url):
    async with aiohttp.ClientSession() as session:
        await (await session.ws_connect(url)).close(code=4000, message=REASON.encode())


async def with_tornado(url):
    (await tornado.websocket.websocket_connect(url)).close(4000, REASON)
    await asyncio.sleep(1)


async def with_websocket_client(url):
    connection = await asyncio.to_thread(websocket.create_connection, url, timeout=5)
    await asyncio.to_thread(connection.close, 4000, REASON.encode())


async def with_node(name, url):
    environment = {**os.environ, "NODE_PATH": os.path.join(os.environ["FIND_FOLDER"], "node_modules")}
    pipe = asyncio.subprocess.PIPE
    node = await asyncio.create_subprocess_exec("node", "-e", NODE, name, url, REASON, stdout=pipe, env=environment)
    if b"refused" in (await node.communicate())[0]:
        raise ValueError


async def main():
    failures = []

    async def read(connection):
        try:
            async for _ in connection:
                pass
        except websockets.ConnectionClosedError as error:
            failures.append(int(error.sent.code) if error.sent else None)

    async def outcome(attempt):
        """Whether the client refuses the reason, and else the code with which the server fails the connection."""
        failures.clear()
        try:
            await asyncio.wait_for(attempt, 60)
        except (ValueError, websockets.WebSocketException):
            return "refused"
        await asyncio.sleep(1)
        return failures[0] if failures else None

    server = await websockets.serve(read, "127.0.0.1", 0)
    url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    for name, attempt, result in (
        ("aiohttp", with_aiohttp(url), 1002),
        ("websocket-client", with_websocket_client(url), 1002),
        ("websockets", with_websockets(url), "refused"),
        ("tornado", with_tornado(url), "refused"),
        ("faye-websocket", with_node("faye-websocket", url), 1002),
        ("websocket", with_node("websocket", url), 1002),
        ("ws", with_node("ws", url), "refused"),
        ("undici", with_node("undici", url), "refused"),
    ):
        seen(name, await outcome(attempt), result)
    server.close()


asyncio.run(main())
PYTHON
