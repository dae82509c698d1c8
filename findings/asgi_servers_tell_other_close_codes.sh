#!/usr/bin/env bash
# hypercorn 0.18.0, daphne 4.2.3 and granian 2.8.9, beside uvicorn 0.54.0 (PyPI): what an ASGI application learns when a client
# closes its WebSocket.
#
# guess: the event "websocket.disconnect" has the client's code and reason whichever server runs the application, and 1005 for a
#        close frame without a code, as the ASGI specification says; a later send raises, as it has said since version 2.4.
# seen:  uvicorn does so. hypercorn says 1006 for every close, as if the connection had broken. daphne and granian give the code,
#        but no reason; daphne says None where there is no code. In these three a later send does nothing and raises nothing.
# so:    an application that does something else for its own codes (4000-4999) tests it on its real server, or has the client say
#        it in a message before it closes. A task that only sends must be stopped by the one that receives.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages uvicorn==0.54.0 hypercorn==0.18.0 daphne==4.2.3 granian==2.8.9 websockets==17.4
run_python <<'PYTHON'
import asyncio
import json

import websockets

from asgi import asgi_server
from find import seen

APP = """
async def websocket(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] != "websocket.disconnect":
        pass
    try:
        await send({"type": "websocket.send", "text": "late"})
        late = "nothing"
    except OSError as error:
        late = "OSError"
    say(event["code"], event.get("reason"), late)
"""


async def last_line(path):
    for _ in range(100):
        with open(path) as file:
            if lines := file.read().splitlines():
                open(path, "w").close()
                return json.loads(lines[-1])
        await asyncio.sleep(0.1)


async def closes(url, lines):
    connection = await websockets.connect(url)
    await connection.close(4002, "moved")
    with_code = await last_line(lines)
    connection = await websockets.connect(url)
    connection.transport.write(bytes([0x88, 0x80, 1, 2, 3, 4]))  # A close frame without a code.
    without = await last_line(lines)
    connection.transport.abort()
    return with_code, without


for name, with_code, without in (
    ("uvicorn", [4002, "moved", "OSError"], [1005, "", "OSError"]),
    ("hypercorn", [1006, None, "nothing"], [1006, None, "nothing"]),
    ("daphne", [4002, None, "nothing"], [None, None, "nothing"]),
    ("granian", [4002, None, "nothing"], [1005, None, "nothing"]),
):
    with asgi_server(name, APP) as (url, lines):
        found = asyncio.run(closes(url, lines))
    seen(f'{name}: 4002 "moved": code, reason, a later send', found[0], with_code)
    seen(f"{name}: no code: the same", found[1], without)
PYTHON
