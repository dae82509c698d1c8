#!/usr/bin/env bash
# caddy 2.6.2 (Debian 12) as a reverse proxy, beside nginx 1.22.1 and haproxy 2.6.12: a client that closes its own direction
# after the request, as "printf ... | nc -N" does.
#
# guess: the proxy hands the server's answer on, here a 503 after 0.3 s, or gives up without an answer.
# seen:  haproxy hands the 503 on, nginx closes without an answer, caddy answers "200 OK" with an empty body: neither the
#        server's status nor an error.
# so:    a health check that half-closes is told "200" by caddy for a server that says 503.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
debian_packages nginx haproxy caddy libopentracing1 libopentracing-c-wrapper0 liblua5.3-0
run_python <<'PYTHON'
import time

from find import seen
from proxies import proxies, request
from raw_websocket import serve_handshake


def busy(connection, _):
    time.sleep(0.3)
    connection.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy")


def answer(port, **options):
    head, _, body = request(port, upgrade=False, **options).partition(b"\r\n\r\n")
    return head.split(b"\r\n")[0].decode(), body.decode()


BUSY = ("HTTP/1.1 503 Service Unavailable", "busy")
with proxies(serve_handshake(busy)) as ports:
    for name in ("nginx", "haproxy", "caddy"):
        seen(f"{name}, client stays open", answer(ports[name]), BUSY)
    seen("haproxy, client half-closes", answer(ports["haproxy"], half_close=True), BUSY)
    seen("nginx, client half-closes", answer(ports["nginx"], half_close=True), ("", ""))
    seen("caddy, client half-closes", answer(ports["caddy"], half_close=True), ("HTTP/1.1 200 OK", ""))
PYTHON
