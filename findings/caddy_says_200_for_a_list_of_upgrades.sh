#!/usr/bin/env bash
# caddy 2.6.2 (Debian 12) as a reverse proxy, beside nginx 1.22.1 and haproxy 2.6.12: a handshake that offers two protocols,
# "Upgrade: websocket, find/1", which RFC 9110 (7.8) allows, to a server that chooses the first.
#
# guess: the server's 101 with "Upgrade: websocket" passes, and the WebSocket opens.
# seen:  so it does through nginx and haproxy. caddy drops the server's 101 and answers "200 OK" with an empty body. The server
#        has an open WebSocket for a moment, the client never had one.
# so:    a client offers "websocket" alone; sessions that end at once on the server may have been refused on the way.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
debian_packages nginx haproxy caddy libopentracing1 libopentracing-c-wrapper0 liblua5.3-0
run_python <<'PYTHON'
import socket

from find import seen
from proxies import HANDSHAKE, proxies
from raw_websocket import accept_answer, frame, serve_handshake

offers = []


def accept(connection, request):
    lines = request.decode().lower().split("\r\n")
    offers.extend(line for line in lines if line.startswith("upgrade:"))
    connection.sendall(accept_answer(request) + frame(1, b"hello"))
    connection.recv(1)


def answer(port, upgrade):
    """The answer's status, and what follows its head."""
    request = HANDSHAKE.replace(b"Upgrade: websocket", b"Upgrade: " + upgrade)
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(request)
        connection.settimeout(2)
        data = b""
        try:
            while part := connection.recv(4096):
                data += part
        except TimeoutError:
            pass
    head, _, body = data.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


OPEN = (101, frame(1, b"hello"))
backend = serve_handshake(accept)
seen("direct", answer(backend, b"websocket, find/1"), OPEN)
with proxies(backend) as ports:
    for name, result in (("nginx", OPEN), ("haproxy", OPEN), ("caddy", (200, b""))):
        seen(f"{name}: websocket", answer(ports[name], b"websocket"), OPEN)
        seen(f"{name}: websocket, find/1", answer(ports[name], b"websocket, find/1"), result)
seen("each offer of two reached the server", offers.count("upgrade: websocket, find/1"), 4)
PYTHON
