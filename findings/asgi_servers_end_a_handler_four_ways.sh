#!/usr/bin/env bash
# uvicorn 0.54.0, hypercorn 0.18.0, daphne 4.2.3 and granian 2.8.9 (PyPI): an ASGI application that returns, or raises, while its
# WebSocket is open.
#
# guess: the client sees 1000 after a return and 1011 (internal error) after an exception, with all four.
# seen:  no two agree. uvicorn breaks the connection without a close frame (1006) in both cases. hypercorn says 1011 in both.
#        granian sends a close frame without a code (1005) in both. daphne says 1011 after an exception, and after a return leaves
#        the connection open, so that the client waits in vain.
# so:    close in a `finally`, with a code of your own: the client's choice to come back or not must not hang on the server in
#        use.
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
    await send({"type": "websocket.accept"})
    if scope["path"] == "/raises":
        raise RuntimeError("a mistake")
"""


async def end(url):
    """The code that the client sees; "open" after three seconds without one."""
    async with websockets.connect(url, close_timeout=1) as connection:
        try:
            await asyncio.wait_for(connection.recv(), 3)
        except asyncio.TimeoutError:
            return "open"
        except websockets.ConnectionClosed:
            return int(connection.close_code)


for name, returns, raises in (
    ("uvicorn", 1006, 1006),
    ("hypercorn", 1011, 1011),
    ("daphne", "open", 1011),
    ("granian", 1005, 1005),
):
    with asgi_server(name, APP) as (url, _):
        found = [asyncio.run(end(url + path)) for path in ("returns", "raises")]
    seen(f"{name}: the client's code after a return, an exception", found, [returns, raises])
PYTHON
