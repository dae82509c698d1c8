#!/usr/bin/env bash
# @microsoft/fetch-event-source 2.0.1 (npm) and httpx-sse 0.4.3 (PyPI), beside eventsource 5.1.5 (npm): blocks of an event stream
# that have no data, such as a keep-alive.
#
# guess: no event comes of them, as the HTML standard says (9.2.6: nothing is dispatched where the data is empty).
# seen:  fetch-event-source calls onmessage with the data "" for a comment, an id, a retry, and an event's name, each alone in its
#        block. httpx-sse does so for all but the comment. eventsource gives the real message only.
# so:    a reader looks at the data before JSON.parse, or each keep-alive ends in an error. A server that does not know its
#        readers sends ":" as a keep-alive without an empty line behind it, and puts ids and retry into blocks that have data.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages httpx==0.28.1 httpx-sse==0.4.3
node_packages @microsoft/fetch-event-source@2.0.1 eventsource@5.1.5
run_python <<'PYTHON'
import httpx
from httpx_sse import connect_sse

from find import seen
from node import node
from raw_websocket import serve_handshake

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
NODE = """
const { EventSource } = require("eventsource");
Object.assign(globalThis, { window: globalThis, document: { addEventListener() {}, removeEventListener() {} } });
const { fetchEventSource } = require("@microsoft/fetch-event-source");
const url = process.argv[2];

(async () => {
    const fetched = [];
    await fetchEventSource(url, { onmessage: (message) => fetched.push(message.data) });
    const standard = [];
    const source = new EventSource(url);
    for (const name of ["message", "ping"]) source.addEventListener(name, (event) => standard.push(event.data));
    await new Promise((resolve) => (source.onerror = resolve));
    console.log(JSON.stringify({ fetched, standard }));
    process.exit();
})();
"""


def httpx_sse(url):
    with httpx.Client() as client, connect_sse(client, "GET", url) as source:
        return [event.data for event in source.iter_sse()]


for block, of_httpx in (
    (": keep-alive\n\n", ["hello"]),
    (": keep-alive\n", ["hello"]),
    ("id: 7\n\n", ["", "hello"]),
    ("retry: 3000\n\n", ["", "hello"]),
    ("event: ping\n\n", ["", "hello"]),
):
    stream = HEAD + block.encode() + b"data: hello\n\n"
    port = serve_handshake(lambda connection, request: connection.sendall(stream))
    url = f"http://127.0.0.1:{port}/"
    result = node(NODE, url)
    of_fetch = ["", "hello"] if block.endswith("\n\n") else ["hello"]
    seen(f"{block!r}, fetch-event-source", result["fetched"], of_fetch)
    seen(f"{block!r}, httpx-sse", httpx_sse(url), of_httpx)
    seen(f"{block!r}, eventsource", result["standard"], ["hello"])
PYTHON
