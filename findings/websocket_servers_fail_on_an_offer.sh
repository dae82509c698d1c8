#!/usr/bin/env bash
# tornado 6.6.1 (PyPI) and ws 8.23.0 (npm), servers with compression on: an offer of permessage-deflate that they cannot take.
#
# guess: as RFC 7692 (5.1, 7.1) wants: the server declines that offer and takes the next one, or goes on without compression.
# seen:  tornado answers 500 to "server_max_window_bits=8", a valid value, also when a plain offer follows; ws answers 400 to a
#        parameter that it does not know. Each does the other's case right, as websockets 17.4 (PyPI) does both.
# so:    a client that offers more than plain permessage-deflate must be ready to try again without.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages tornado==6.6.1 websockets==17.4
node_packages ws@8.23.0
run_python <<'PYTHON'
import asyncio
import logging
import os
import subprocess

import tornado.httpserver
import tornado.netutil
import tornado.web
import tornado.websocket
import websockets

from find import seen
from handshake import chosen

logging.disable(logging.CRITICAL)
NODE = """
const { WebSocketServer } = require("ws");
const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: true });
server.on("listening", () => console.log(server.address().port));
"""
OFFERS = (
    "permessage-deflate; server_max_window_bits=8, permessage-deflate",
    "permessage-deflate; of_tomorrow, permessage-deflate",
)


class Handler(tornado.websocket.WebSocketHandler):
    def get_compression_options(self):
        return {}


async def main():
    sockets = tornado.netutil.bind_sockets(0, "127.0.0.1")
    server = tornado.httpserver.HTTPServer(tornado.web.Application([("/", Handler)]))
    server.add_sockets(sockets)

    async def wait(connection):
        await connection.wait_closed()

    other = await websockets.serve(wait, "127.0.0.1", 0)
    folder = os.environ["FIND_FOLDER"]
    environment = {**os.environ, "NODE_PATH": os.path.join(folder, "node_modules")}
    node = await asyncio.create_subprocess_exec("node", "-e", NODE, stdout=subprocess.PIPE, env=environment)
    try:
        for name, port, statuses in (
            ("tornado", sockets[0].getsockname()[1], (500, 101)),
            ("ws", int(await node.stdout.readline()), (101, 400)),
            ("websockets", other.sockets[0].getsockname()[1], (101, 101)),
        ):
            answers = []
            for offer in OFFERS:
                status, taken = await chosen(port, [f"Sec-WebSocket-Extensions: {offer}"], "sec-websocket-extensions")
                print(f"seen: {name}: {offer!r}: {status}, {taken}")
                answers.append(status)
            seen(f"{name}: statuses for 8 bits, an unknown parameter", tuple(answers), statuses)
    finally:
        node.kill()
        await node.wait()
        other.close()
        server.stop()


asyncio.run(main())
PYTHON
