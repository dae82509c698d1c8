#!/usr/bin/env bash
# cloudevents 10.0.0 (npm): an event without `time`, which the format allows, read twice as after a repeated delivery.
#
# guess: time is undefined.
# seen:  it is the moment of reading, in binary and in structured mode: the same event has another time with each delivery, and
#        nothing tells such a time from one that was sent.
# so:    always send `time`; do not order or deduplicate by it where a sender may leave it out.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
node_packages cloudevents@10.0.0
run_node <<'NODE'
const { HTTP } = require("cloudevents");
const { seen, finish } = require("find");

const event = { specversion: "1.0", id: "app-1", source: "rtm", type: "user.online" };
const binary = { "content-type": "application/json" };
for (const [name, value] of Object.entries(event)) binary[`ce-${name}`] = value;
const modes = {
    binary: { headers: binary, body: "{}" },
    structured: { headers: { "content-type": "application/cloudevents+json" }, body: JSON.stringify(event) },
};
(async () => {
    for (const [mode, message] of Object.entries(modes)) {
        const first = HTTP.toEvent(message).time;
        await new Promise((resolve) => setTimeout(resolve, 20));
        const second = HTTP.toEvent(message).time;
        seen(`${mode}: has a time`, typeof first, "string");
        seen(`${mode}: the same at the second reading`, first === second, false);
    }
    finish();
})();
NODE
