#!/usr/bin/env bash
# @stomp/stompjs 7.5.0 (npm), STOMP 1.2: headers that a broker hands on byte for byte.
#
# guess: they come back as they were sent: the standard has escapes for backslash, colon and line breaks in names and values, and
#        forbids to take spaces off.
# seen:  values are escaped, but an escaped backslash before n, r or c is read as that escape: C:\new comes back as "C:\", a line
#        feed and "ew". Spaces at both ends of a value are gone. A name is not escaped: "a:b" with the value "c" comes back as "a"
#        with "b:c".
# so:    keep texts of users (names, paths, JSON) out of headers: put them into the body, or use encodeURIComponent.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
node_packages @stomp/stompjs@7.5.0 ws@8.23.0
run_node <<'NODE'
const { Client } = require("@stomp/stompjs");
const { WebSocket, WebSocketServer } = require("ws");
const { seen, finish } = require("find");

globalThis.WebSocket = WebSocket;
let onTheWire;

// A broker that gives each SEND back as a MESSAGE, with the same lines of headers.
const broker = new WebSocketServer({ port: 0, host: "127.0.0.1" });
broker.on("connection", (socket) =>
    socket.on("message", (data) => {
        const text = String(data);
        if (text.startsWith("CONNECT")) socket.send("CONNECTED\nversion:1.2\nheart-beat:0,0\n\n\0");
        if (!text.startsWith("SEND\n")) return;
        onTheWire = text.split("\n").filter((line) => /^(text|a)/.test(line));
        socket.send(text.replace("SEND\n", "MESSAGE\nsubscription:0\nmessage-id:1\n"));
    }),
);

broker.on("listening", () => {
    const client = new Client({ brokerURL: `ws://127.0.0.1:${broker.address().port}`, reconnectDelay: 0 });
    client.onConnect = async () => {
        let received;
        client.subscribe("/find", (message) => received(message), { id: "0" });
        for (const [headers, wire, name, value] of [
            [{ text: "a: b" }, "text:a\\c b", "text", "a: b"],
            [{ text: "C:\\data" }, "text:C\\c\\\\data", "text", "C:\\data"],
            [{ text: "C:\\new" }, "text:C\\c\\\\new", "text", "C:\\\new"],
            [{ text: '{"line":"one\\ntwo"}' }, 'text:{"line"\\c"one\\\\ntwo"}', "text", '{"line":"one\\\ntwo"}'],
            [{ text: " two spaces " }, "text: two spaces ", "text", "two spaces"],
            [{ "a:b": "c" }, "a:b:c", "a", "b:c"],
        ]) {
            const message = await new Promise((resolve) => {
                received = resolve;
                client.publish({ destination: "/find", headers, body: "x" });
            });
            seen(`${JSON.stringify(headers)} on the wire`, onTheWire, [wire]);
            seen("and back", message.headers[name], value);
        }
        finish();
    };
    client.activate();
});
NODE
