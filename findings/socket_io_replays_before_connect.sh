#!/usr/bin/env bash
# socket.io and socket.io-client 4.8.4 (npm): connection state recovery, and when the missed events come.
#
# guess: after a short break "connect" fires first, with recovered true, and the missed events follow it, as the documented
#        handler of "connect" suggests ("any missed packets will be received").
# seen:  the missed events are handed out before "connect".
# so:    a client that clears its state in "connect", or adds its listeners there, throws the replayed events away: look at
#        recovered before clearing, and add listeners once, outside.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
node_packages socket.io@4.8.4 socket.io-client@4.8.4
run_node <<'NODE'
const http = require("node:http");
const { Server } = require("socket.io");
const { io } = require("socket.io-client");
const { seen, finish } = require("find");

(async () => {
    const server = http.createServer();
    const everyone = new Server(server, { connectionStateRecovery: {} });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    const client = io(`http://127.0.0.1:${server.address().port}`, {
        transports: ["websocket"],
        reconnectionDelay: 300,
        randomizationFactor: 0,
    });
    const events = [];
    const connected = () => new Promise((resolve) => client.once("connect", resolve));
    client.on("connect", () => events.push(`connect, recovered ${client.recovered}`));
    client.on("text", (text) => events.push(`text ${text}`));

    await connected();
    everyone.emit("text", 1);
    while (!events.includes("text 1")) await new Promise((resolve) => setTimeout(resolve, 20));
    client.io.engine.close();
    everyone.emit("text", 2);
    everyone.emit("text", 3);
    await connected();
    seen("the first connection", events.slice(0, 2), ["connect, recovered false", "text 1"]);
    seen("after the break", events.slice(2), ["text 2", "text 3", "connect, recovered true"]);
    client.close();
    everyone.close();
    finish();
})();
NODE
