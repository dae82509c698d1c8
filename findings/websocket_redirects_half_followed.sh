#!/usr/bin/env bash
# aiohttp 3.14.5 and websocket-client 1.9.2 (PyPI): a handshake that is answered with a redirect.
#
# guess: a client that follows redirects follows one to "ws://host/path" as well as one to "/path".
# seen:  aiohttp follows "/path" and refuses "ws://..." (not an HTTP address); websocket-client follows "ws://..." and refuses
#        "/path". websockets 17.4 (PyPI) follows both, ws 8.23.0 (npm) none.
# so:    there is no redirect that all clients follow: name the right address in the first place.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages websockets==17.4 aiohttp==3.14.5 websocket-client==1.9.2
node_packages ws@8.23.0
run_python <<'PYTHON'
from find import seen
from raw_websocket import accept_answer, close_frame, frame, serve_handshake
from websocket_clients import first_messages


def answer(connection, request):
    location = {b"/absolute": f"ws://127.0.0.1:{port}/here", b"/relative": "/here"}.get(request.split()[1])
    if location:
        connection.sendall(f"HTTP/1.1 307 Elsewhere\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode())
    else:
        connection.sendall(accept_answer(request) + frame(1, b"hello") + close_frame(1000))
        connection.recv(100)


port = serve_handshake(answer)
for name, outcomes in (
    ("websockets", ("hello", "hello")),
    ("aiohttp", (None, "hello")),
    ("websocket-client", ("hello", None)),
    ("ws", (None, None)),
):
    messages = first_messages(name, [f"ws://127.0.0.1:{port}/{path}" for path in ("absolute", "relative")])
    seen(f"{name}: absolute, relative", tuple(messages), outcomes)
PYTHON
