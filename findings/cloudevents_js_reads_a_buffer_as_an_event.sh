#!/usr/bin/env bash
# cloudevents 10.0.0 (npm): a structured event whose body is a Buffer, as raw body parsers of web frameworks give it.
#
# guess: HTTP.toEvent parses the bytes as it parses a string, or throws.
# seen:  neither. It returns an event without type and source, with an id of its own making and one attribute for each byte,
#        named 0, 1, 2 and so on.
# so:    give it body.toString(), and look at the id before an event is taken for a new one.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
node_packages cloudevents@10.0.0
run_node <<'NODE'
const { HTTP } = require("cloudevents");
const { seen, finish } = require("find");

const body = JSON.stringify({ specversion: "1.0", id: "app-1", source: "rtm", type: "user.online", data: { user: "alice" } });
const headers = { "content-type": "application/cloudevents+json" };
const read = (body) => HTTP.toEvent({ headers, body });

seen("id and type of a string", [read(body).id, read(body).type], ["app-1", "user.online"]);
const event = read(Buffer.from(body));
seen("type of a Buffer", event.type ?? null, null);
seen("its id is the sender's", event.id === "app-1", false);
seen("its attribute 0", event["0"], 123);
finish();
NODE
