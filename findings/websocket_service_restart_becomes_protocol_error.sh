#!/usr/bin/env bash
# faye-websocket 0.11.4 with websocket-driver 0.8.0 (npm): the registered close codes that are younger than RFC 6455.
#
# guess: a server's close 1012 (service restart), 1013 (try again later) or 1014 (bad gateway) reaches the application as sent.
# seen:  the application is told 1002, a protocol error, with the server's reason beside it, and 1002 goes back to the server.
#        1001, 1011 and 4000 pass.
# so:    a server that is drained closes with 1001 or a private code if such clients are to come back.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
node_packages faye-websocket@0.11.4 websocket-driver@0.8.0
run_python <<'PYTHON'
import json
import os
import struct
import subprocess

from find import seen
from raw_websocket import close_frame, read_frame, serve

NODE = """
const { Client } = require("faye-websocket");
const socket = new Client(process.argv[2]);
socket.on("close", (event) => console.log(JSON.stringify([event.code, event.reason])));
"""
answers = {}


def close(connection, path):
    code = int(path[1:])
    connection.sendall(close_frame(code, b"restart"))
    answers[code] = struct.unpack(">H", read_frame(connection)[1][:2])[0]


folder = os.environ["FIND_FOLDER"]
program = os.path.join(folder, "client.cjs")
with open(program, "w") as file:
    file.write(NODE)
environment = {**os.environ, "NODE_PATH": os.path.join(folder, "node_modules")}
port = serve(close)
for code, told in ((1001, 1001), (1011, 1011), (1012, 1002), (1013, 1002), (1014, 1002), (4000, 4000)):
    output = subprocess.check_output(["node", program, f"ws://127.0.0.1:{port}/{code}"], env=environment, timeout=10)
    seen(f"close {code}: told to the application", json.loads(output), [told, "restart"])
    seen(f"close {code}: sent back", answers.get(code), told)
PYTHON
