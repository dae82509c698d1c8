#!/usr/bin/env bash
# daphne 4.2.3 and granian 2.8.9, beside uvicorn 0.54.0 and hypercorn 0.18.0 (PyPI): what an ASGI application gives to its
# WebSocket.
#
# guess: the headers of "websocket.accept" stand in the 101, an empty message is sent, and the client gets the code and the reason
#        of "websocket.close".
# seen:  daphne and granian leave the headers out, a cookie as well as any other; no error says so, and granian names a version of
#        the specification (2.3) that has them. daphne also sends no empty message and no reason. uvicorn and hypercorn do it all.
# so:    set cookies in an HTTP answer before the handshake; say what the client must know in a message that is not empty.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages uvicorn==0.54.0 hypercorn==0.18.0 daphne==4.2.3 granian==2.8.9 websockets==17.4
run_python <<'PYTHON'
import asyncio

import websockets

from asgi import asgi_server
from find import seen

APP = """
async def websocket(scope, receive, send):
    await receive()
    headers = [(b"x-node", b"7"), (b"set-cookie", b"session=1; Path=/")]
    await send({"type": "websocket.accept", "headers": headers})
    for text in ("", "text"):
        await send({"type": "websocket.send", "text": text})
    await send({"type": "websocket.close", "code": 4001, "reason": "moved"})
    await receive()
"""


async def answer(url):
    """The values of the two headers, the messages, the code and the reason."""
    async with websockets.connect(url) as connection:
        headers = [connection.response.headers.get(name) for name in ("x-node", "set-cookie")]
        messages = [message async for message in in_order(connection)]
        return headers, messages, int(connection.close_code), connection.close_reason


async def in_order(connection):
    while True:
        try:
            yield await asyncio.wait_for(connection.recv(), 10)
        except websockets.ConnectionClosed:
            return


headers = ["7", "session=1; Path=/"]
for name, expected in (
    ("uvicorn", (headers, ["", "text"], 4001, "moved")),
    ("hypercorn", (headers, ["", "text"], 4001, "moved")),
    ("daphne", ([None, None], ["text"], 4001, "")),
    ("granian", ([None, None], ["", "text"], 4001, "moved")),
):
    with asgi_server(name, APP) as (url, _):
        seen(f"{name}: headers, messages, code, reason", asyncio.run(answer(url)), expected)
PYTHON
