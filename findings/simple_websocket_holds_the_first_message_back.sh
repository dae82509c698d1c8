#!/usr/bin/env bash
# simple-websocket 1.1.0 (PyPI), the client: a server that says something at once, so that it comes in one piece with the 101.
#
# guess: the message is there at the first receive(), whichever pieces the network makes of the stream.
# seen:  what comes together with the 101 is looked at only when something more comes: a greeting waits for the next message. If
#        all comes in one piece, "your token is too old" and a close with 4001, receive() waits until the server ends the
#        connection, and then tells 1005: message, code and reason are lost. Sent 0.2 s after the 101, all is told. The client
#        answers no close frame, so the server waits for one and notes 1006.
# so:    a server for such clients waits for the client's first message before it speaks, or refuses in the handshake's status. It
#        ends the connection by itself soon after its close frame.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages simple-websocket==1.1.0
run_python <<'PYTHON'
import threading
import time

import simple_websocket

from find import seen
from raw_websocket import accept_answer, close_frame, frame, read_frame, serve_handshake


def run(*parts, next_after=0.2):
    """What each receive() gives within 1 s (None: nothing), and what the server gets: the first part is sent with the 101."""
    answered = []
    done = threading.Event()

    def handler(connection, request):
        head, *others = parts
        connection.sendall(accept_answer(request) + head)
        for part in others:
            time.sleep(next_after)
            connection.sendall(part)
        connection.settimeout(1.5)
        try:
            answered.append(read_frame(connection)[0])
        except (OSError, EOFError):
            answered.append("nothing")
        connection.close()
        done.set()

    client = simple_websocket.Client(f"ws://127.0.0.1:{serve_handshake(handler)}/")
    found = []
    try:
        while True:
            found.append(client.receive(timeout=1))
            if len(found) == 6:
                break
    except simple_websocket.ConnectionClosed as closed:
        found.append((int(closed.reason), closed.message))
    done.wait(5)
    return found, answered[0]


old = frame(1, b"your token is too old")
told = close_frame(4001, b"token")
late = run(frame(1, b"hello"), frame(1, b"next"), told, next_after=1.5)
seen("a greeting with the 101, then each part after 1.5 s", late, ([None, "hello", "next", None, (4001, "token")], "nothing"))
seen("a message and a close with the 101", run(old + told), ([None, (1005, None)], "nothing"))
seen("the same 0.2 s after it", run(b"", old + told), (["your token is too old", (4001, "token")], "nothing"))
PYTHON
