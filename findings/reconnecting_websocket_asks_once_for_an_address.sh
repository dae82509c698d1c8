#!/usr/bin/env bash
# reconnecting-websocket 4.4.0 beside partysocket 1.3.0 (npm): the address as a function that fetches a token, and fails once.
#
# guess: a failure counts as a failed attempt: after the delay the function is asked again, without limit, since neither limits
#        its attempts.
# seen:  reconnecting-websocket never asks again: it tells neither a close nor an error, the state stays CONNECTING or CLOSED for
#        ever, and the promise's rejection is handled by nobody. partysocket asks again, but where the failure comes after a break
#        it tells a second close, with 1000, which nobody sent.
# so:    catch errors inside that function and return an address all the same (the server refuses it, and that counts as an
#        attempt), or use partysocket and take a close for final only if its code is one of the server's own.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
node_packages reconnecting-websocket@4.4.0 partysocket@1.3.0 ws@8.23.0
run_node <<'NODE'
const { WebSocket, WebSocketServer } = require("ws");
const { seen, finish } = require("find");

const unhandled = [];
process.on("unhandledRejection", (error) => unhandled.push(error.message));
const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });

// What happens in three seconds: the server breaks the first connection, and the function fails at this call.
async function run(Socket, failing) {
    const events = [];
    let calls = 0;
    let connections = 0;
    const accept = (socket) => ++connections === 1 && setTimeout(() => socket.terminate(), 100);
    server.on("connection", accept);
    const address = async () => {
        if (++calls === failing) throw new Error("no token now");
        return `ws://127.0.0.1:${server.address().port}`;
    };
    const options = { WebSocket, minReconnectionDelay: 100, maxReconnectionDelay: 200 };
    const socket = new Socket(address, [], options);
    socket.addEventListener("open", () => events.push("open"));
    socket.addEventListener("close", (event) => events.push(event.code));
    socket.addEventListener("error", (event) => events.push(event.message));
    await new Promise((resolve) => setTimeout(resolve, 3000));
    server.off("connection", accept);
    const found = { calls, events: [...events], state: socket.readyState };
    socket.close();
    return found;
}

server.on("listening", async () => {
    const reconnecting = require("reconnecting-websocket");
    const party = require("partysocket/ws").default;
    seen("reconnecting-websocket, first call", await run(reconnecting, 1), { calls: 1, events: [], state: 0 });
    seen("reconnecting-websocket, second call", await run(reconnecting, 2), { calls: 2, events: ["open", 1006], state: 3 });
    seen("rejections that nobody handles", unhandled.splice(0), ["no token now", "no token now"]);
    seen("partysocket, first call", await run(party, 1), { calls: 3, events: ["no token now", "open", 1006, "open"], state: 1 });
    const events = ["open", 1006, 1000, "no token now", "open"];
    seen("partysocket, second call", await run(party, 2), { calls: 3, events, state: 1 });
    seen("rejections that nobody handles", unhandled.splice(0), []);
    finish();
});
NODE
