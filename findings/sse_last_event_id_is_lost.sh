#!/usr/bin/env bash
# eventsource 4.1.1 (npm's choice for Node 20) and undici 7.30.2 (what Node's EventSource is made of), beside eventsource 5.1.5
# (npm): the last event's id, as the application sees it and as a reconnect sends it.
#
# guess: as the HTML standard says (9.2.6): an id holds for all events after it, one in a block without data counts too, and an
#        empty id takes it back, so that the next request has no Last-Event-ID.
# seen:  eventsource 5.1.5 does all three. In 4.1.1, lastEventId is "" for an event without an id of its own, and an id in a block
#        without data is not remembered. undici does both, but after an empty id it sends the id that an earlier request had.
# so:    a server puts an id into every event that has data, and takes none back. An application that stores how far it has read
#        stores only an id that is not empty.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
node_packages eventsource4@npm:eventsource@4.1.1 eventsource5@npm:eventsource@5.1.5 undici@7.30.2
run_node <<'NODE'
const http = require("node:http");
const { seen, finish } = require("find");

process.removeAllListeners("warning"); // undici says that its EventSource is experimental.
const streams = [
    "retry: 50\nid: 1\ndata: a\n\ndata: b\n\n",
    "id: 2\n\n",
    "id: 3\ndata: c\n\nid\ndata: d\n\n",
];

// Plays the streams, one for each request, and gives the events with their ids and the ids in the requests.
async function play(EventSource) {
    const sent = [];
    const server = http.createServer((request, response) => {
        sent.push(request.headers["last-event-id"] ?? null);
        const stream = streams[sent.length - 1];
        response.writeHead(stream ? 200 : 204, stream ? { "Content-Type": "text/event-stream" } : {});
        response.end(stream);
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    const source = new EventSource(`http://127.0.0.1:${server.address().port}/`);
    const events = [];
    source.onmessage = (event) => events.push([event.data, event.lastEventId]);
    await new Promise((resolve) => {
        source.onerror = () => source.readyState === EventSource.CLOSED && resolve();
    });
    server.close();
    return { events, sent };
}

(async () => {
    const right = [["a", "1"], ["b", "1"], ["c", "3"], ["d", ""]];
    const ofFour = [["a", "1"], ["b", ""], ["c", "3"], ["d", ""]];
    for (const [name, EventSource, events, sent] of [
        ["eventsource 5", require("eventsource5").EventSource, right, [null, "1", "2", null]],
        ["eventsource 4", require("eventsource4").EventSource, ofFour, [null, "1", "1", null]],
        ["undici", require("undici").EventSource, right, [null, "1", "2", "2"]],
    ]) {
        const found = await play(EventSource);
        seen(`${name}, events`, found.events, events);
        seen(`${name}, requests`, found.sent, sent);
    }
    finish();
})();
NODE
