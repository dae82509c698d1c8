#!/usr/bin/env bash
# tornado 6.6.1 (PyPI): a client, permessage-deflate, and a ping between two fragments of a compressed message.
#
# guess: the ping is answered and the message arrives, as RFC 6455 (5.4) lets control frames stand inside a fragmented message.
# seen:  the client ends the connection without a close frame and without an error: read_message() returns None and close_code is
#        None. Without the ping the same message arrives, and so does an uncompressed one with the ping. ws 8.23.0 (npm) reads
#        all three.
# so:    a server that splits large messages holds its pings back until the last fragment, or does not compress.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages tornado==6.6.1
node_packages ws@8.23.0
run_python <<'PYTHON'
import asyncio
import json
import logging
import os
import subprocess
import zlib

import tornado.websocket

from find import seen
from raw_websocket import accept_answer, close_frame, frame, serve_handshake

logging.disable(logging.CRITICAL)
TEXT = "hello hello hello"
PING = frame(9, b"")
NODE = """
const socket = new (require("ws"))(process.argv[2]);
let text = null;
socket.onmessage = (event) => (text = event.data);
socket.onclose = (event) => console.log(JSON.stringify([text, event.code]));
"""


def two_fragments(between, compressed):
    data = TEXT.encode()
    if compressed:
        deflate = zlib.compressobj(wbits=-15)
        data = (deflate.compress(data) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]
    return frame(1, data[:4], 0x40 if compressed else 0) + between + frame(0, data[4:])


def server(message):
    def send(connection, request):
        connection.sendall(accept_answer(request, "permessage-deflate") + message + close_frame(1000))
        while connection.recv(100):
            pass

    return f"ws://127.0.0.1:{serve_handshake(send)}/"


async def with_tornado(url):
    socket = await tornado.websocket.websocket_connect(url, compression_options={})
    text = await asyncio.wait_for(socket.read_message(), 5)
    if text is not None:
        await asyncio.wait_for(socket.read_message(), 5)
    return text, socket.close_code


def with_ws(url):
    program = os.path.join(os.environ["FIND_FOLDER"], "client.cjs")
    with open(program, "w") as file:
        file.write(NODE)
    environment = {**os.environ, "NODE_PATH": os.path.join(os.environ["FIND_FOLDER"], "node_modules")}
    return tuple(json.loads(subprocess.check_output(["node", program, url], env=environment, timeout=10)))


READ = (TEXT, 1000)
for name, between, compressed, outcome in (
    ("plain, with a ping", PING, False, READ),
    ("compressed", b"", True, READ),
    ("compressed, with a ping", PING, True, (None, None)),
):
    url = server(two_fragments(between, compressed))
    seen(f"{name}: tornado", asyncio.run(with_tornado(url)), outcome)
    seen(f"{name}: ws", with_ws(url), READ)
PYTHON
