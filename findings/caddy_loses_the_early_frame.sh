#!/usr/bin/env bash
# caddy 2.6.2 (Debian 12) as a reverse proxy, beside nginx 1.22.1 and haproxy 2.6.12: bytes that follow a WebSocket handshake in
# the same segment, before the 101 has come.
#
# guess: RFC 6455 tells clients to wait; a proxy that gets the first frame too early hands it on once the server has agreed,
#        or refuses the handshake.
# seen:  nginx and haproxy hand the frame on. caddy drops it without a word: the connection opens, later frames arrive.
# so:    a client that saves a round trip by sending its first message with the handshake hangs behind caddy alone.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
debian_packages nginx haproxy caddy libopentracing1 libopentracing-c-wrapper0 liblua5.3-0
run_python <<'PYTHON'
import contextlib
import socket

from find import seen
from proxies import HANDSHAKE, proxies
from raw_websocket import accept_answer, frame, read_frame, serve_handshake


def echo(connection, request):
    head, _, rest = request.partition(b"\r\n\r\n")
    connection.sendall(accept_answer(head + b"\r\n\r\n") + rest)
    with contextlib.suppress(OSError):
        while data := connection.recv(4096):
            connection.sendall(data)


def echoed(port):
    """What comes back of one frame sent with the handshake, and of one sent after the 101."""
    texts = []
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.settimeout(3)
        connection.sendall(HANDSHAKE + frame(1, b"early"))
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += connection.recv(1)
        connection.sendall(frame(1, b"late"))
        with contextlib.suppress(TimeoutError):
            while b"late" not in texts:
                texts.append(read_frame(connection)[1])
    return int(head.split()[1]), [text.decode() for text in texts]


with proxies(serve_handshake(echo)) as ports:
    for name in ("nginx", "haproxy"):
        seen(name, echoed(ports[name]), (101, ["early", "late"]))
    seen("caddy", echoed(ports["caddy"]), (101, ["late"]))
PYTHON
