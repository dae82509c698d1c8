#!/usr/bin/env bash
# nginx 1.22.1, haproxy 2.6.12 and caddy 2.6.2 (Debian 12) as reverse proxies: a server's 426 to a WebSocket handshake.
#
# guess: the refusal with "Upgrade", "Connection: Upgrade" and "Sec-WebSocket-Version" passes as it is; RFC 9110 wants an
#        Upgrade field in every 426.
# seen:  nginx drops "Connection: Upgrade" and keeps Upgrade; caddy drops both; haproxy keeps both and adds a valid
#        "Sec-WebSocket-Accept", which belongs to a 101 only.
# so:    a client must judge a handshake by its status first, and read the wanted version from Sec-WebSocket-Version alone.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
debian_packages nginx haproxy caddy libopentracing1 libopentracing-c-wrapper0 liblua5.3-0
run_python <<'PYTHON'
from find import seen
from proxies import proxies, request
from raw_websocket import serve_handshake

ANSWER = (
    b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nContent-Length: 0\r\n\r\n"
)
NAMES = ("connection", "upgrade", "sec-websocket-version", "sec-websocket-accept")


def fields(answer):
    head = answer.split(b"\r\n\r\n")[0].decode().split("\r\n")
    found = dict(line.lower().split(": ", 1) for line in head[1:])
    return int(head[0].split()[1]), {name: found[name] for name in NAMES if name in found}


ORIGINAL = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
backend = serve_handshake(lambda connection, _: connection.sendall(ANSWER))
seen("direct", fields(request(backend)), (426, ORIGINAL))
with proxies(backend) as ports:
    nginx, haproxy, caddy = (fields(request(ports[name])) for name in ("nginx", "haproxy", "caddy"))
seen("nginx", nginx, (426, {**ORIGINAL, "connection": "keep-alive"}))
seen("haproxy", haproxy, (426, {**ORIGINAL, "sec-websocket-accept": "s3pplmbitxaq9kygzzhzrbk+xoo="}))
seen("caddy", caddy, (426, {"sec-websocket-version": "13"}))
PYTHON
