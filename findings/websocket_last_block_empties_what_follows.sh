#!/usr/bin/env bash
# websockets 17.4 and tornado 6.6.1 (PyPI), undici 7.30.2 (npm, what Node's WebSocket is made of): messages compressed with
# permessage-deflate by a peer that ends each message's stream (BFINAL 1, as RFC 7692 section 7.2.3.4 shows).
#
# guess: every client reads all the messages: the RFC says that such a message is valid and how to go on after it.
# seen:  the first message arrives whole; each one after it arrives as an empty text, without an error. ws 8.23.0 (npm)
#        reads all three.
# so:    a server that compresses must flush (BFINAL 0), never finish, whatever the RFC allows; and who gets empty texts should
#        look at the compression first.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages websockets==17.4 tornado==6.6.1
node_packages undici@7.30.2 ws@8.23.0
run_python <<'PYTHON'
import asyncio
import json
import os
import subprocess
import zlib

import tornado.websocket
import websockets

from find import seen
from raw_websocket import accept_answer, close_frame, frame, serve_handshake

TEXTS = ["one", "two", "three"]
NODE = """
const Socket = process.argv[3] === "ws" ? require("ws") : require("undici").WebSocket;
const socket = new Socket(process.argv[2]);
const texts = [];
socket.onmessage = (event) => texts.push(event.data);
socket.onclose = () => console.log(JSON.stringify(texts));
"""


def three_messages(connection, request):
    connection.sendall(accept_answer(request, "permessage-deflate"))
    for text in TEXTS:
        deflate = zlib.compressobj(wbits=-15)
        data = deflate.compress(text.encode()) + deflate.flush(zlib.Z_FINISH) + b"\0"
        connection.sendall(frame(1, data, 0x80 | 0x40))
    connection.sendall(close_frame(1000))
    connection.recv(100)


async def with_websockets(url):
    async with websockets.connect(url) as socket:
        return [text async for text in socket]


async def with_tornado(url):
    socket = await tornado.websocket.websocket_connect(url, compression_options={})
    return [text async for text in _up_to_none(socket)]


async def _up_to_none(socket):
    while (text := await socket.read_message()) is not None:
        yield text


def with_node(url, library):
    program = os.path.join(os.environ["FIND_FOLDER"], "client.cjs")
    with open(program, "w") as file:
        file.write(NODE)
    environment = {**os.environ, "NODE_PATH": os.path.join(os.environ["FIND_FOLDER"], "node_modules")}
    return json.loads(subprocess.check_output(["node", program, url, library], env=environment, timeout=20))


url = f"ws://127.0.0.1:{serve_handshake(three_messages)}/"
seen("websockets", asyncio.run(asyncio.wait_for(with_websockets(url), 10)), ["one", "", ""])
seen("tornado", asyncio.run(asyncio.wait_for(with_tornado(url), 10)), ["one", "", ""])
seen("undici", with_node(url, "undici"), ["one", "", ""])
seen("ws", with_node(url, "ws"), TEXTS)
PYTHON
