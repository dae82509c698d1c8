#!/usr/bin/env bash
# @microsoft/fetch-event-source 2.0.1 (npm), aiohttp-sse-client 0.2.1 and requests-sse 0.5.3 (PyPI), beside eventsource 5.1.5
# (npm) and httpx-sse 0.4.3 (PyPI): a text with blank lines, sent as one "data:" line for each of its lines.
#
# guess: all give the text back: the lines are joined with line feeds, as the HTML standard says (9.2.6).
# seen:  fetch-event-source loses the blank lines at the start; aiohttp-sse-client and requests-sse those at the end. A text that
#        is only a line feed, as a language model's answer in pieces has many, is "" in all three. The other two give it back.
# so:    send a text as JSON on one "data:" line.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages aiohttp==3.14.5 aiohttp-sse-client==0.2.1 requests==2.34.2 requests-sse==0.5.3 httpx==0.28.1 httpx-sse==0.4.3
node_packages @microsoft/fetch-event-source@2.0.1 eventsource@5.1.5
run_python <<'PYTHON'
import asyncio
import itertools

import httpx
import requests_sse
from aiohttp_sse_client import client as aiohttp_sse
from httpx_sse import connect_sse

from find import seen
from node import node
from raw_websocket import serve_handshake

TEXTS = ["\n", "\n\n", "\nstart", "end\n", "one\n\ntwo"]
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
    source.onmessage = (event) => standard.push(event.data);
    await new Promise((resolve) => (source.onerror = resolve));
    console.log(JSON.stringify({ fetched, standard }));
    process.exit();
})();
"""


def event(text):
    return "".join(f"data: {line}\n" for line in text.split("\n")) + "\n"


answer = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n" + "".join(map(event, TEXTS))
url = f"http://127.0.0.1:{serve_handshake(lambda connection, request: connection.sendall(answer.encode()))}/"


def of_httpx():
    with httpx.Client() as client, connect_sse(client, "GET", url) as source:
        return [event.data for event in source.iter_sse()]


def of_requests():
    with requests_sse.EventSource(url, timeout=10) as source:
        return [event.data for event in itertools.islice(source, len(TEXTS))]


async def of_aiohttp():
    async with aiohttp_sse.EventSource(url) as source:
        return [(await source.__anext__()).data for _ in TEXTS]


in_node = node(NODE, url)
seen("eventsource", in_node["standard"], TEXTS)
seen("httpx-sse", of_httpx(), TEXTS)
seen("fetch-event-source", in_node["fetched"], ["", "", "start", "end\n", "one\n\ntwo"])
seen("aiohttp-sse-client", asyncio.run(of_aiohttp()), ["", "", "\nstart", "end", "one\n\ntwo"])
seen("requests-sse", of_requests(), ["", "", "\nstart", "end", "one\n\ntwo"])
PYTHON
