#!/usr/bin/env bash
# python-socketio 5.18.1 (PyPI), the client, with socket.io 4.8.4 (npm): an event whose value is None.
#
# guess: None arrives as null, one argument, as the null of socket.io's own client does.
# seen:  emit("name", None) and call("name", None) send no argument at all. A JavaScript listener (value, answer) then gets the
#        acknowledgement's function as its value, and no `answer`: the call is never answered and times out. A tuple with None in
#        it, or None inside a dictionary, arrives as null.
# so:    send (None,) where None can be the value, or always a dictionary. A server takes the function from the end of the
#        arguments, and checks what is before it.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages python-socketio==5.18.1 websocket-client==1.9.2 requests==2.34.2
node_packages socket.io@4.8.4
run_python <<'PYTHON'
import os
import subprocess

import socketio

from find import seen

NODE = """
const { Server } = require("socket.io");
const http = require("node:http").createServer();
new Server(http).on("connection", (socket) => {
    socket.on("set", (value, answer) => answer?.(value === null ? "null" : typeof value));
    socket.on("count", (...all) => all.pop()(all.length));
});
http.listen(0, "127.0.0.1", () => console.log(http.address().port));
"""

folder = os.environ["FIND_FOLDER"]
server = subprocess.Popen(
    ["node", "-e", NODE],
    env={**os.environ, "NODE_PATH": os.path.join(folder, "node_modules")},
    stdout=subprocess.PIPE,
    text=True,
)
client = socketio.Client()
client.connect(f"http://127.0.0.1:{server.stdout.readline().strip()}", transports=["websocket"])


def call(name, data):
    try:
        return client.call(name, data, timeout=2)
    except socketio.exceptions.TimeoutError:
        return "TimeoutError"


for data, count, answer in (
    ("text", 1, "string"),
    (None, 0, "TimeoutError"),
    ((None,), 1, "null"),
    ({"value": None}, 1, "object"),
):
    seen(f"{data!r}: arguments, answer", (call("count", data), call("set", data)), (count, answer))
client.disconnect()
server.terminate()
server.wait()
PYTHON
