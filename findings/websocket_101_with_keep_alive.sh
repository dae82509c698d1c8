#!/usr/bin/env bash
# aiohttp 3.14.5 and tornado 6.6.1 (PyPI), undici 7.30.2, faye-websocket 0.11.4 and websocket 1.0.35 (npm): the header fields of
# the 101 that opens a WebSocket.
#
# guess: "Connection: keep-alive, Upgrade" is fine: RFC 6455 (4.1) asks for the token "Upgrade" in the field, not for nothing
#        else; so are spaces after a value, which HTTP tells a reader to leave out.
# seen:  these five refuse the handshake for the second token. undici refuses it for a space after the value as well. websockets
#        17.4, websocket-client 1.9.2 (PyPI) and ws 8.23.0 (npm) take both.
# so:    a gateway that adds keep-alive to a 101 shuts out five of these eight clients: send exactly "Connection: Upgrade".
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages websockets==17.4 aiohttp==3.14.5 tornado==6.6.1 websocket-client==1.9.2
node_packages ws@8.23.0 undici@7.30.2 faye-websocket@0.11.4 websocket@1.0.35
run_python <<'PYTHON'
from find import seen
from raw_websocket import accept_answer, close_frame, frame, serve_handshake
from websocket_clients import first_messages


def server(old, new):
    def open_and_greet(connection, request):
        answer = accept_answer(request).replace(old, new)
        connection.sendall(answer + frame(1, b"hello") + close_frame(1000))
        connection.recv(100)

    return f"ws://127.0.0.1:{serve_handshake(open_and_greet)}/"


plain = server(b"", b"")
two_tokens = server(b"Connection: Upgrade", b"Connection: keep-alive, Upgrade")
space = server(b"Upgrade: websocket", b"Upgrade: websocket ")
YES, NO = "hello", None
for name, outcomes in (
    ("websockets", (YES, YES, YES)),
    ("websocket-client", (YES, YES, YES)),
    ("ws", (YES, YES, YES)),
    ("aiohttp", (YES, NO, YES)),
    ("tornado", (YES, NO, YES)),
    ("faye-websocket", (YES, NO, YES)),
    ("websocket", (YES, NO, YES)),
    ("undici", (YES, NO, NO)),
):
    messages = first_messages(name, (plain, two_tokens, space))
    seen(f"{name}: plain, two tokens, space at the end", tuple(messages), outcomes)
PYTHON
