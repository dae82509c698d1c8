#!/usr/bin/env bash
# caddy 2.6.2 (Debian 12) as a reverse proxy, beside nginx 1.22.1 and haproxy 2.6.12: a request that it does not hand on.
#
# guess: a client that closes its own direction after the request, as "printf ... | nc -N" does, gets the server's answer (here
#        a 503 after 0.3 s) or none; a request for a host that no site names gets an error (404, 421).
# seen:  caddy answers both with "200 OK" and an empty body, the second one also to a WebSocket handshake. haproxy hands the
#        503 on to the half-closed client, nginx closes without an answer.
# so:    a health check that half-closes, or names the wrong host, is told 200 for a server that says 503; a client that is told
#        "200 instead of 101" may have met no server at all.
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


def answer(port, upgrade=False, **options):
    head, _, body = request(port, upgrade=upgrade, **options).partition(b"\r\n\r\n")
    return head.split(b"\r\n")[0].decode(), body.decode()


BUSY = ("HTTP/1.1 503 Service Unavailable", "busy")
with proxies(serve_handshake(busy)) as ports:
    for name in ("nginx", "haproxy", "caddy"):
        seen(f"{name}, client stays open", answer(ports[name]), BUSY)
    seen("haproxy, client half-closes", answer(ports["haproxy"], half_close=True), BUSY)
    seen("nginx, client half-closes", answer(ports["nginx"], half_close=True), ("", ""))
    seen("caddy, client half-closes", answer(ports["caddy"], half_close=True), ("HTTP/1.1 200 OK", ""))
    named = ports["caddy, named"]
    seen("caddy, the site's host", answer(named, host="named.test"), BUSY)
    seen("caddy, another host", answer(named), ("HTTP/1.1 200 OK", ""))
    seen("caddy, another host, handshake", answer(named, upgrade=True), ("HTTP/1.1 200 OK", ""))
PYTHON
