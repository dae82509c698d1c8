#!/usr/bin/env bash
# nginx 1.22.1, haproxy 2.6.12 and caddy 2.6.2 (Debian 12) as reverse proxies: a WebSocket whose client has said its last word,
# closed its own direction of the connection, and waits for what the server still has to say.
#
# guess: the end of one direction is handed on like any byte: the server's last message and its close frame arrive, as they do
#        without a proxy.
# seen:  haproxy hands them on. nginx and caddy close both directions as soon as the client has closed one; the client reads the
#        end of the connection and nothing before it.
# so:    a client keeps its direction open until it has the server's close frame (RFC 6455, 7.1.1, has the server close first).
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
debian_packages nginx haproxy caddy libopentracing1 libopentracing-c-wrapper0 liblua5.3-0
run_python <<'PYTHON'
import socket
import time

from find import seen
from proxies import HANDSHAKE, proxies
from raw_websocket import accept_answer, close_frame, frame, read_frame, serve_handshake


def answer_late(connection, request):
    connection.sendall(accept_answer(request))
    while read_frame(connection)[0] != 8:
        pass
    time.sleep(1)
    connection.sendall(frame(1, b"late") + close_frame(1000))


def frames(port):
    """The opcodes of what comes after the client's close frame and the end of its direction."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(HANDSHAKE)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += connection.recv(1)
        connection.sendall(b"\x88\x82" + bytes(4) + b"\x03\xe8")
        connection.shutdown(socket.SHUT_WR)
        opcodes = []
        try:
            while True:
                opcodes.append(read_frame(connection)[0])
        except (EOFError, ConnectionResetError):
            return opcodes


backend = serve_handshake(answer_late)
seen("direct", frames(backend), [1, 8])
with proxies(backend) as ports:
    for name, opcodes in (("nginx", []), ("haproxy", [1, 8]), ("caddy", [])):
        seen(name, frames(ports[name]), opcodes)
PYTHON
