#!/usr/bin/env bash
# standardwebhooks 1.1.1 (npm): the Headers of a Request of fetch, as frameworks with handlers of the web's own form have them.
#
# guess: verify reads them as it reads the headers of Node's http.
# seen:  "Missing required headers": a Headers object has no properties of its own, and verify looks at nothing else.
# so:    verify(body, Object.fromEntries(request.headers)).
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
node_packages standardwebhooks@1.1.1
run_node <<'NODE'
const { Webhook } = require("standardwebhooks");
const { seen, finish } = require("find");

const webhook = new Webhook(Buffer.from("a secret of 24 bytes, ok").toString("base64"));
const now = new Date();
const body = '{"type":"user.online"}';
const request = new Request("http://127.0.0.1/", {
    method: "POST",
    body,
    headers: {
        "webhook-id": "app-1",
        "webhook-timestamp": String(Math.floor(now / 1000)),
        "webhook-signature": webhook.sign("app-1", now, body),
    },
});
let said = "verified";
try {
    webhook.verify(body, request.headers);
} catch (error) {
    said = error.message;
}
seen("the Headers object", said, "Missing required headers");
seen("its entries", webhook.verify(body, Object.fromEntries(request.headers)).type, "user.online");
finish();
NODE
