#!/usr/bin/env bash
# ar-rtm-sdk 1.0.15 (npm, the vendor's SDK): renewToken(), and a connection that breaks afterwards.
#
# guess: the SDK comes back with the token that it was given last.
# seen:  renewToken() sends the new token to the server it is connected to. Each reconnect shows the gateway, and the login that
#        follows, the token of login() again.
# so:    a server that judges by the token shown throws out everybody who renewed and then lost the connection: it has to know by
#        itself which session was renewed. An application cannot help it, short of logging out and in.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
node_packages ar-rtm-sdk@1.0.15 xhr2@0.2.1 ws@8.18.3
run_node <<'NODE'
const { start } = require("anyrtc_server");
const { seen, finish } = require("find");

(async () => {
    const { client, seen: shown, drop, state } = await start();
    await client.login({ uid: "alice", token: "first" });
    await client.renewToken("second");
    const back = state("CONNECTED");
    drop();
    await back;
    seen("tokens shown to the gateway", shown.gateway, ["first", "first"]);
    seen("tokens shown at the login", shown.login, ["first", "first"]);
    finish();
})();
NODE
