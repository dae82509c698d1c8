#!/usr/bin/env bash
# ar-rtm-sdk 1.0.15 (npm, the vendor's SDK): sendMessageToPeer() while the connection is broken.
#
# guess: the promise is rejected, or waits for the connection; its type says that hasPeerReceived is a boolean.
# seen:  while the client is RECONNECTING the promise is resolved, with hasPeerReceived undefined, and nothing is sent, neither then
#        nor after the reconnect.
# so:    "await" without an error means nothing: look at hasPeerReceived === true, and send again after CONNECTED if it is not.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
node_packages ar-rtm-sdk@1.0.15 xhr2@0.2.1 ws@8.18.3
run_node <<'NODE'
const { start } = require("anyrtc_server");
const { seen, finish } = require("find");

(async () => {
    const { client, seen: asked, drop, state } = await start();
    await client.login({ uid: "alice" });
    const gone = state("RECONNECTING");
    const back = state("CONNECTED");
    drop();
    await gone;
    const outcome = client.sendMessageToPeer({ text: "hello" }, "bob").then(
        (result) => `resolved with ${JSON.stringify(result)}`,
        (error) => `rejected with ${error?.code}`,
    );
    seen("the promise", await outcome, "resolved with {}");
    await back;
    await new Promise((resolve) => setTimeout(resolve, 500));
    seen("what the server got of it", asked.messages, []);
    finish();
})();
NODE
