#!/usr/bin/env bash
# undici 7.30.2 (RetryAgent) and retry-axios 4.0.3 (npm), httpx-retries 0.6.0 and aiohttp-retry 2.9.1 (PyPI), beside axios-retry
# 4.5.0 (npm): a 503 with "Retry-After", answered well the second time.
#
# guess: all wait as long as the server says, or give up if that is longer than their own limit; "0" means at once.
# seen:  undici and httpx-retries cut the wait to their own limit (here 1 s; 30 s and 120 s unless one is set) and are back too
#        early. aiohttp-retry does not read the field. retry-axios waits, but after "0" it does not try again: the 503 is the
#        result. axios-retry does what was guessed.
# so:    a server that is overloaded says a few seconds, never 0, spreads the values itself, and counts on early returns. A client
#        sets the limit above what its server says.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages httpx==0.28.1 httpx-retries==0.6.0 aiohttp==3.14.5 aiohttp-retry==2.9.1
node_packages undici@7.30.2 axios@1.21.1 retry-axios@4.0.3 axios-retry@4.5.0
run_python <<'PYTHON'
import asyncio
import time

import aiohttp_retry
import httpx
from httpx_retries import Retry, RetryTransport

from find import seen
from node import node
from raw_websocket import serve_handshake

NODE = """
const axios = require("axios");
const { Agent, RetryAgent, request } = require("undici");
const [name, url] = process.argv.slice(2);
const clients = {
    "undici": () => request(url, { dispatcher: new RetryAgent(new Agent(), { minTimeout: 100, maxTimeout: 1000 }) }),
    "axios-retry": () => {
        require("axios-retry").default(axios);
        return axios.get(url);
    },
    "retry-axios": async () => {
        (await import("retry-axios")).attach(axios);
        return axios.get(url, { raxConfig: { retry: 3, maxRetryDelay: 1000 } });
    },
};
clients[name]().then(
    (response) => console.log(response.statusCode ?? response.status),
    (error) => console.log(error.response.status),
).finally(() => process.exit());
"""


def of_httpx(url):
    transport = RetryTransport(retry=Retry(total=3, backoff_factor=0.1, max_backoff_wait=1))
    with httpx.Client(transport=transport) as client:
        return client.get(url).status_code


async def of_aiohttp(url):
    options = aiohttp_retry.ExponentialRetry(attempts=3, start_timeout=0.1)
    async with aiohttp_retry.RetryClient(retry_options=options) as client, client.get(url) as response:
        return response.status


def asked(name, retry_after):
    """The status that the application gets, and the whole seconds between the first request and the second."""
    times = []

    def answer(connection, request):
        times.append(time.monotonic())
        head = f"503 Busy\r\nRetry-After: {retry_after}" if len(times) == 1 else "200 OK"
        connection.sendall(f"HTTP/1.1 {head}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())

    url = f"http://127.0.0.1:{serve_handshake(answer)}/"
    if name == "httpx-retries":
        status = of_httpx(url)
    elif name == "aiohttp-retry":
        status = asyncio.run(of_aiohttp(url))
    else:
        status = node(NODE, name, url)
    return status, int(times[1] - times[0]) if times[1:] else None


for name, of_four, of_zero in (
    ("axios-retry", (200, 4), (200, 0)),
    ("undici", (200, 1), (200, 0)),
    ("httpx-retries", (200, 1), (200, 0)),
    ("aiohttp-retry", (200, 0), (200, 0)),
    ("retry-axios", (200, 4), (503, None)),
):
    seen(f"{name}, Retry-After: 4", asked(name, 4), of_four)
    seen(f"{name}, Retry-After: 0", asked(name, 0), of_zero)
PYTHON
