#!/usr/bin/env bash
# stomp.py 9.0.0 (PyPI): a message behind heart-beats of the server, read all at once.
#
# guess: the message arrives: heart-beats are line feeds between frames, and STOMP 1.2 allows any number of them there.
# seen:  where a read begins with two line feeds, the message behind them is lost: no listener is called, not even for errors.
#        Behind one line feed, or where each heart-beat is read by itself, it arrives. A listener that works while two heart-beats
#        come is enough: they wait in the socket, together with the next message.
# so:    a listener hands messages to another thread and returns at once. For what must not be lost, subscribe with
#        "client-individual" acknowledgements: a lost message is never acknowledged, and comes again after a reconnect.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages stomp.py==9.0.0
run_python <<'PYTHON'
import socket
import threading
import time

import stomp

from find import seen


def message(text):
    return f"MESSAGE\nsubscription:0\nmessage-id:{text}\ndestination:/find\n\n{text}\0".encode()


class Listener(stomp.ConnectionListener):
    """Writes down messages and errors; works for a second on the message "slow"."""

    def __init__(self):
        self.got = []

    def on_message(self, frame):
        self.got.append(frame.body)
        if frame.body == "slow":
            time.sleep(1)

    def on_error(self, frame):
        self.got.append("error")


def received(*parts):
    """What the listener gets where the server sends these parts, 0.2 s apart."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        connection, _ = server.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"CONNECTED\nversion:1.2\nheart-beat:200,0\n\n\0")
            connection.recv(4096)
            for part in parts:
                time.sleep(0.2)
                connection.sendall(part)
            time.sleep(1.5)

    threading.Thread(target=serve, daemon=True).start()
    listener = Listener()
    client = stomp.Connection12([server.getsockname()], reconnect_attempts_max=1, heartbeats=(0, 5000))
    client.set_listener("", listener)
    client.connect(wait=True)
    client.subscribe("/find", id="0")
    time.sleep(1.5 + 0.2 * len(parts))
    return listener.got


seen("one line feed and a message", received(b"\n" + message("a")), ["a"])
seen("two line feeds and a message", received(b"\n\n" + message("a"), message("b")), ["b"])
seen("the same, each read by itself", received(b"\n", b"\n", message("a"), message("b")), ["a", "b"])
slow = (message("slow"), b"\n", b"\n", message("a"))
seen("a slow listener, two heart-beats, and a message", received(*slow), ["slow"])
seen("and one more message in a read of its own", received(*slow, b"", b"", b"", message("b")), ["slow", "b"])
PYTHON
