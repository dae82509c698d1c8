#!/usr/bin/env bash
# websockets 17.4 (PyPI): a client whose application does not read for a while, with the keep-alive on.
#
# guess: the server answers the pings, so the connection lives, and the application finds all 300 messages when it comes back.
# seen:  once the queue of messages is full the client stops reading the socket, so it does not see the server's pongs and
#        closes its own healthy connection: 1011 "keepalive ping timeout". The server's later messages are lost.
# so:    a keep-alive that times out here can mean a slow application, not a dead peer. Read in a task of its own.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages websockets==17.4
run_python <<'PYTHON'
import asyncio
import logging

import websockets

from find import seen

logging.disable(logging.CRITICAL)


async def main():
    async def flood(connection):
        for number in range(300):
            await connection.send(f"{number} ".ljust(2000))
        await connection.wait_closed()

    async with websockets.serve(flood, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        received = 0
        end = None
        async with websockets.connect(url, ping_interval=0.5, ping_timeout=0.5) as connection:
            await asyncio.sleep(3)
            try:
                while received < 300:
                    await asyncio.wait_for(connection.recv(), 5)
                    received += 1
            except websockets.ConnectionClosed as error:
                end = (error.sent.code, error.sent.reason)
        print(f"seen: {received} of 300 messages")
        seen("all of them", received == 300, False)
        seen("what the client itself sent", end, (1011, "keepalive ping timeout"))


asyncio.run(main())
PYTHON
