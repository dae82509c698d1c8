#!/usr/bin/env bash
# cloudevents 10.0.0 (npm): the bytes of a structured event (data_base64), as the application gets them and as they are sent on.
#
# guess: a Buffer or a Uint8Array, as in binary mode.
# seen:  a Uint32Array with one element for each byte. The elements are right, but its memory has three zeros behind each byte,
#        and that is what fetch sends when the event goes on in binary mode: 3 bytes have become 12.
# so:    take Uint8Array.from(event.data), or decode event.data_base64 yourself.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
node_packages cloudevents@10.0.0
run_node <<'NODE'
const { HTTP } = require("cloudevents");
const { seen, finish } = require("find");

const attributes = { specversion: "1.0", id: "1", type: "find", source: "/find" };
const bytes = Buffer.from([1, 2, 255]);
const binaryHeaders = { "content-type": "application/octet-stream" };
for (const [name, value] of Object.entries(attributes)) binaryHeaders[`ce-${name}`] = value;
const binary = HTTP.toEvent({ headers: binaryHeaders, body: bytes });
const structured = HTTP.toEvent({
    headers: { "content-type": "application/cloudevents+json" },
    body: JSON.stringify({
        ...attributes,
        datacontenttype: "application/octet-stream",
        data_base64: bytes.toString("base64"),
    }),
});

(async () => {
    seen("type in binary mode", binary.data.constructor.name, "Buffer");
    seen("type in structured mode", structured.data.constructor.name, "Uint32Array");
    const { body } = HTTP.binary(structured);
    const sent = Buffer.from(await new Request("http://find.test", { method: "POST", body }).arrayBuffer());
    seen("what fetch sends on", [...sent], [1, 0, 0, 0, 2, 0, 0, 0, 255, 0, 0, 0]);
    finish();
})();
NODE
