#!/usr/bin/env bash
# aiohttp 3.14.5 and websocket-client 1.9.2 (PyPI), websocket 1.0.35 (npm): what a client sends back to a server's close frame.
#
# guess: the server's own code, as RFC 6455 section 5.5.1 says is typical.
# seen:  these three send 1000 back, whatever the server's code was. websockets 17.4 (PyPI) sends the same code.
# so:    a server's log or metric of the code that the peer sent says "normal" for sessions that the server threw out: record
#        the code of the side that closed first.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages aiohttp==3.14.5 websocket-client==1.9.2 websockets==17.4
node_packages websocket@1.0.35
run_python <<'PYTHON'
import asyncio
import os
import queue
import struct
import subprocess

import aiohttp
import websocket
import websockets

from find import seen
from raw_websocket import close_frame, read_frame, serve

NODE = """
const { client: Client } = require("websocket");
const client = new Client();
client.connect(process.argv[2]);
"""
answers = queue.Queue()


def close(connection, path):
    connection.sendall(close_frame(int(path[1:]), b"thrown out"))
    answers.put(struct.unpack(">H", read_frame(connection)[1][:2])[0])


async def with_aiohttp(url):
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
        await socket.receive()


async def with_websockets(url):
    async with websockets.connect(url) as socket:
        await socket.wait_closed()


def with_websocket_client(url):
    socket = websocket.create_connection(url, timeout=5)
    socket.recv_data()
    socket.close()


def with_node(url):
    folder = os.environ["FIND_FOLDER"]
    program = os.path.join(folder, "client.cjs")
    with open(program, "w") as file:
        file.write(NODE)
    environment = {**os.environ, "NODE_PATH": os.path.join(folder, "node_modules")}
    subprocess.run(["node", program, url], env=environment, check=True, timeout=10)


port = serve(close)
for code in (1001, 1012, 4001):
    url = f"ws://127.0.0.1:{port}/{code}"
    asyncio.run(asyncio.wait_for(with_aiohttp(url), 10))
    seen(f"{code}: aiohttp", answers.get(timeout=5), 1000)
    with_websocket_client(url)
    seen(f"{code}: websocket-client", answers.get(timeout=5), 1000)
    with_node(url)
    seen(f"{code}: websocket (npm)", answers.get(timeout=5), 1000)
    asyncio.run(asyncio.wait_for(with_websockets(url), 10))
    seen(f"{code}: websockets", answers.get(timeout=5), code)
PYTHON
