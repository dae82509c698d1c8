#!/usr/bin/env bash
# websocket-client 1.9.2 (PyPI): WebSocketApp.run_forever(reconnect=1) and a server that closes with a code.
#
# guess: as its README says: run_forever comes back after a lost connection, but not when the server closes with a proper code,
#        which is told to on_close.
# seen:  after any close code, 1000 as well, the client is back after a second, for ever; neither on_close nor on_error is
#        called, so the application never learns the code or the reason. Only on_reconnect is called, with neither of them.
# so:    two such clients of one user throw each other out for ever. Without reconnect, on_close gets the code: loop yourself.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages websocket-client==1.9.2
run_python <<'PYTHON'
import logging
import threading
import time

import websocket

from find import seen
from raw_websocket import close_frame, read_frame, serve

logging.disable(logging.CRITICAL)


def close(connection, path):
    connection.sendall(close_frame(int(path[1:]), b"elsewhere"))
    read_frame(connection)


port = serve(close)


def app(code, events):
    return websocket.WebSocketApp(
        f"ws://127.0.0.1:{port}/{code}",
        on_open=lambda _: events.append("open"),
        on_reconnect=lambda _: events.append("reconnect"),
        on_close=lambda _, code, reason: events.append(("close", code, reason)),
    )


for code in (1000, 4001):
    events = []
    app(code, events).run_forever()
    seen(f"close {code}, without reconnect", events, ["open", ("close", code, "elsewhere")])

    events = []
    errors = []
    client = app(code, events)
    client.on_error = lambda _, error: errors.append(error)
    threading.Thread(target=lambda: client.run_forever(reconnect=1), daemon=True).start()
    time.sleep(2.6)
    seen(f"close {code}, reconnect=1, 2.6 s", (events, errors), (["open", "reconnect", "reconnect"], []))
    client.keep_running = False
PYTHON
