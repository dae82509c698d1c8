#!/usr/bin/env bash
# sseclient-py 1.9.0 beside httpx-sse 0.4.3 (PyPI): a stream that ends in the middle of an event.
#
# guess: the unfinished event is dropped, as the HTML standard says (9.2.6), or the reader raises.
# seen:  sseclient-py hands out what it has as an event, cut wherever the server stopped, with the id of that event. It does so
#        where the stream's end is its regular end: a connection without a length, and the last chunk of a chunked answer, which a
#        server or a proxy that shuts down sends. Only a chunked answer without its last chunk raises. httpx-sse drops it.
# so:    who resumes from that id never gets the other half: take an event's id only after its data could be parsed, and have the
#        server end each message with something that shows it is whole, as JSON does.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages sseclient-py==1.9.0 requests==2.34.2 httpx==0.28.1 httpx-sse==0.4.3
run_python <<'PYTHON'
import httpx
import requests
import sseclient
from httpx_sse import connect_sse

from find import seen
from raw_websocket import serve_handshake

EVENTS = b"id: 1\ndata: pay 10 to Ann\n\nid: 2\ndata: pay 1000 to B"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
CHUNK = HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(EVENTS), EVENTS)


def collected(events):
    found = []
    try:
        for event in events:
            found.append((event.id, event.data))
    except (requests.RequestException, httpx.HTTPError) as error:
        found.append(type(error).__name__)
    return found


def of_httpx(url):
    with httpx.Client() as client, connect_sse(client, "GET", url) as source:
        return collected(source.iter_sse())


whole, half = ("1", "pay 10 to Ann"), ("2", "pay 1000 to B")
for end, answer, of_sseclient, expected in (
    ("no length", HEAD + b"Connection: close\r\n\r\n" + EVENTS, [whole, half], [whole]),
    ("last chunk", CHUNK + b"0\r\n\r\n", [whole, half], [whole]),
    ("no last chunk", CHUNK, [whole, "ChunkedEncodingError"], [whole, "RemoteProtocolError"]),
):
    port = serve_handshake(lambda connection, request: connection.sendall(answer))
    url = f"http://127.0.0.1:{port}/"
    events = sseclient.SSEClient(requests.get(url, stream=True, timeout=10)).events()
    seen(f"{end}, sseclient-py", collected(events), of_sseclient)
    seen(f"{end}, httpx-sse", of_httpx(url), expected)
PYTHON
