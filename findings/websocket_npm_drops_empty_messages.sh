#!/usr/bin/env bash
# websocket 1.0.35 (npm): empty messages, in its W3CWebSocket and in its own client.
#
# guess: onmessage is called with "" for an empty text, as in a browser.
# seen:  W3CWebSocket never calls onmessage for an empty text; one that is empty but binary arrives, and the package's own client
#        gets both.
# so:    do not use an empty text as a signal (a heartbeat, an end) towards such clients.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
node_packages websocket@1.0.35 ws@8.23.0
run_node <<'NODE'
const { client: Client, w3cwebsocket: W3CWebSocket } = require("websocket");
const { WebSocketServer } = require("ws");
const { seen, finish } = require("find");

const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
server.on("connection", (socket) => {
    for (const message of ["first", "", Buffer.alloc(0), "last"]) socket.send(message);
    socket.close(1000);
});

server.on("listening", async () => {
    const url = `ws://127.0.0.1:${server.address().port}/`;
    const show = (message) => (typeof message === "string" ? message : `${message.byteLength} bytes`);

    const w3c = await new Promise((resolve) => {
        const messages = [];
        const socket = new W3CWebSocket(url);
        socket.binaryType = "arraybuffer";
        socket.onmessage = (event) => messages.push(show(event.data));
        socket.onclose = () => resolve(messages);
    });
    seen("W3CWebSocket", w3c, ["first", "0 bytes", "last"]);

    const own = await new Promise((resolve) => {
        const messages = [];
        const client = new Client();
        client.on("connect", (connection) => {
            connection.on("message", (message) => messages.push(show(message.utf8Data ?? message.binaryData)));
            connection.on("close", () => resolve(messages));
        });
        client.connect(url);
    });
    seen("the package's own client", own, ["first", "", "0 bytes", "last"]);
    finish();
});
NODE
