#!/usr/bin/env bash
# mosquitto 2.0.11 (Debian 12), MQTT over WebSocket: a handshake without a subprotocol, which the standard asks for (6.0).
#
# guess: the handshake is refused with an HTTP status, or the session works all the same.
# seen:  neither. The handshake succeeds, and the client's CONNECT is never answered; the connection stays open. A handshake with
#        a subprotocol that the broker does not know ends without an HTTP answer.
# so:    a client that hangs after its handshake has probably not offered "mqtt"; give CONNACK a deadline of your own.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
debian_packages mosquitto libdlt2 libwrap0 libnsl2 libtirpc3
run_python <<'PYTHON'
import socket

from find import seen
from mqtt import connect, mosquitto
from proxies import HANDSHAKE


def outcome(port, protocol):
    """The handshake's status, and what a CONNECT behind it brings."""
    line = f"Sec-WebSocket-Protocol: {protocol}\r\n\r\n".encode() if protocol else b"\r\n"
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.sendall(HANDSHAKE[:-2] + line)
        head = b""
        while b"\r\n\r\n" not in head:
            part = connection.recv(4096)
            if not part:
                return "end"
            head += part
        body = connect("client")
        connection.sendall(bytes([0x82, 0x80 | len(body)]) + bytes(4) + body)
        try:
            answer = "CONNACK" if connection.recv(4096)[2:3] == b"\x20" else "something else"
        except TimeoutError:
            answer = "nothing for 5 s"
        return head.split()[1].decode(), answer


with mosquitto() as (_, port):
    seen("mqtt", outcome(port, "mqtt"), ("101", "CONNACK"))
    seen("no subprotocol", outcome(port, None), ("101", "nothing for 5 s"))
    seen("another subprotocol", outcome(port, "find.v1"), "end")
PYTHON
