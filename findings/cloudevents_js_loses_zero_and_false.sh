#!/usr/bin/env bash
# cloudevents 10.0.0 (npm): an event in JSON whose data is 0, false, "" or null.
#
# guess: HTTP.toEvent reads every JSON value as that value, in both modes.
# seen:  from a structured event these four are read as undefined, and the event that is sent on has no data at all. In a batch,
#        and in an event that is made with new CloudEvent(), they stay what they are. In binary mode 0, false and null are read as
#        the texts "0", "false" and "null" (so are 1 and true): `if (event.data)` is then true for false.
# so:    a switch that is turned off arrives as "no data" or as turned on: put values into an object ({"value": false}).
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
node_packages cloudevents@10.0.0
run_node <<'NODE'
const { CloudEvent, HTTP } = require("cloudevents");
const { seen, finish } = require("find");

const attributes = { specversion: "1.0", id: "1", type: "find.test", source: "/find", datacontenttype: "application/json" };
const read = (type, body) => HTTP.toEvent({ headers: { "content-type": type }, body: JSON.stringify(body) });
const headers = { "content-type": "application/json" };
for (const name of ["specversion", "id", "type", "source"]) headers[`ce-${name}`] = attributes[name];
const sent = (event) => JSON.parse(HTTP.structured(event).body).data;

for (const [data, structured, binary] of [
    [0, undefined, "0"],
    [false, undefined, "false"],
    ["", undefined, ""],
    [null, undefined, "null"],
    [1, 1, "1"],
    [true, true, "true"],
    [{ value: false }, { value: false }, { value: false }],
]) {
    const event = read("application/cloudevents+json", { ...attributes, data });
    const [inBatch] = read("application/cloudevents-batch+json", [{ ...attributes, data }]);
    const what = JSON.stringify(data);
    seen(`${what}, structured`, event.data, structured);
    seen(`${what}, structured, sent on`, sent(event), structured);
    seen(`${what}, in a batch`, inBatch.data, data);
    seen(`${what}, made here and sent`, sent(new CloudEvent({ ...attributes, data })), data);
    seen(`${what}, binary`, HTTP.toEvent({ headers, body: what }).data, binary);
}
finish();
NODE
