#!/usr/bin/env bash
# socket.io and socket.io-client 4.8.4 (npm): a volatile event that is emitted while the client is disconnected.
#
# guess: it is dropped, as the documentation of volatile says of a connection that is not ready.
# seen:  after a break it is kept and arrives with the reconnect, as an event that is not volatile does. Before the first
#        connection it is dropped.
# so:    positions and typing signals of the time without a connection arrive late, all at once: look at connected before
#        emitting.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
node_packages socket.io@4.8.4 socket.io-client@4.8.4
run_node <<'NODE'
const { createServer } = require("node:http");
const { Server } = require("socket.io");
const { io } = require("socket.io-client");
const { seen, finish } = require("find");

(async () => {
    const received = [];
    const http = createServer();
    const server = new Server(http);
    server.on("connection", (socket) => socket.onAny((name, text) => received.push(text)));
    await new Promise((resolve) => http.listen(0, "127.0.0.1", resolve));

    const client = io(`http://127.0.0.1:${http.address().port}`, { transports: ["websocket"], reconnectionDelay: 1000 });
    const once = (name) => new Promise((resolve) => client.once(name, resolve));
    client.volatile.emit("event", "volatile, before the first connection");
    await once("connect");

    const gone = once("disconnect");
    for (const socket of await server.fetchSockets()) server.sockets.sockets.get(socket.id).conn.close();
    await gone;
    await new Promise((resolve) => setTimeout(resolve, 200));
    seen("connected", client.connected, false);
    client.volatile.emit("event", "volatile, after the break");
    client.emit("event", "after the break");
    await once("connect");
    for (let tries = 0; tries < 50 && !received.includes("after the break"); tries++) {
        await new Promise((resolve) => setTimeout(resolve, 200));
    }
    seen("received", received, ["volatile, after the break", "after the break"]);
    finish();
})();
NODE
