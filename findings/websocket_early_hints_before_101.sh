#!/usr/bin/env bash
# websockets 17.4 and websocket-client 1.9.2 (PyPI): an interim answer, such as 103 Early Hints, before the 101.
#
# guess: the client goes on to the final answer: RFC 9110 (15.2) has every client able to read interim ones that it did not ask
#        for.
# seen:  both take the 103 (or 102) for the final answer and refuse: "rejected with HTTP 103". ws 8.23.0 and undici
#        7.30.2 (npm) open.
# so:    a gateway must send no early hints on the address of its WebSockets.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages websockets==17.4 websocket-client==1.9.2
node_packages ws@8.23.0 undici@7.30.2
run_python <<'PYTHON'
from find import seen
from raw_websocket import accept_answer, close_frame, frame, serve_handshake
from websocket_clients import first_messages


def server(interim):
    def open_and_greet(connection, request):
        connection.sendall(interim + accept_answer(request) + frame(1, b"hello") + close_frame(1000))
        connection.recv(100)

    return f"ws://127.0.0.1:{serve_handshake(open_and_greet)}/"


plain = server(b"")
hints = server(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n")
processing = server(b"HTTP/1.1 102 Processing\r\n\r\n")
for name in ("websockets", "websocket-client", "ws", "undici"):
    answer = None if name in ("websockets", "websocket-client") else "hello"
    messages = first_messages(name, (plain, hints, processing))
    seen(f"{name}: plain, after 103, after 102", messages, ["hello", answer, answer])
PYTHON
