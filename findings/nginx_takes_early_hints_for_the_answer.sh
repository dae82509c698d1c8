#!/usr/bin/env bash
# nginx 1.22.1 (Debian 12) as a reverse proxy, beside haproxy 2.6.12 and caddy 2.6.2: a server that sends "103 Early Hints" before
# the 101 that opens a WebSocket.
#
# guess: the interim answer is handed on or dropped, and the 101 follows (RFC 9110, 15.2).
# seen:  haproxy and caddy hand both on and the WebSocket works. Behind nginx the client gets nothing, and no frame of the
#        client reaches the server, which has an open WebSocket.
# so:    a server sends no interim answers to handshakes; a handshake that hangs behind nginx alone may be this.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
debian_packages nginx haproxy caddy libopentracing1 libopentracing-c-wrapper0 liblua5.3-0
run_python <<'PYTHON'
import socket
import time

from find import seen
from proxies import HANDSHAKE, proxies
from raw_websocket import accept_answer, frame, read_frame, serve_handshake

received = []


def hint(connection, request):
    connection.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n")
    time.sleep(0.3)
    connection.sendall(accept_answer(request) + frame(1, b"hello"))
    connection.settimeout(4)
    received.append(read_frame(connection)[1])


def opens(port):
    """Whether the first message of the server comes within 3 s, and the client's reaches the server."""
    received.clear()
    data = b""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(HANDSHAKE)
        connection.settimeout(3)
        try:
            while b"hello" not in data:
                data += connection.recv(4096)
        except TimeoutError:
            pass
        connection.sendall(b"\x81\x82" + bytes(4) + b"hi")
        time.sleep(1)
    return b"hello" in data, received == [b"hi"]


backend = serve_handshake(hint)
seen("direct", opens(backend), (True, True))
with proxies(backend) as ports:
    for name, result in (("nginx", (False, False)), ("haproxy", (True, True)), ("caddy", (True, True))):
        seen(name, opens(ports[name]), result)
PYTHON
