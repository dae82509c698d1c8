#!/usr/bin/env bash
# cloudevents 10.0.0 (npm): an event whose `time` has nanoseconds and an offset, made or read, and sent.
#
# guess: the attribute is handed on as it came: it is a text of RFC 3339, and a gateway has no business in it.
# seen:  reading turns it into UTC and cuts it to milliseconds, in both modes. An event that is made with new CloudEvent() shows
#        its text unchanged, and is sent cut as well.
# so:    behind such a gateway two events of one millisecond have one time: order by an attribute of your own.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
node_packages cloudevents@10.0.0
run_node <<'NODE'
const { CloudEvent, HTTP } = require("cloudevents");
const { seen, finish } = require("find");

const time = "2026-03-01T10:00:00.123456789+02:00";
const attributes = { specversion: "1.0", id: "1", type: "find", source: "/find" };
const structured = {
    headers: { "content-type": "application/cloudevents+json" },
    body: JSON.stringify({ ...attributes, time }),
};
const binary = { headers: { "ce-time": time }, body: "" };
for (const [name, value] of Object.entries(attributes)) binary.headers[`ce-${name}`] = value;

const cut = "2026-03-01T08:00:00.123Z";
const made = new CloudEvent({ ...attributes, time });
seen("shown, made here", made.time, time);
seen("sent, made here", HTTP.binary(made).headers["ce-time"], cut);
for (const [mode, message] of Object.entries({ structured, binary })) {
    const event = HTTP.toEvent(message);
    seen(`shown, ${mode}`, event.time, cut);
    seen(`sent on, ${mode}`, HTTP.binary(event).headers["ce-time"], cut);
}
finish();
NODE
