#!/usr/bin/env bash
# ar-rtm-sdk 1.0.15 (npm, the vendor's SDK): events with more than one listener, one of them added by once().
#
# guess: as with Node's own emitter: each listener gets every event, and one that is added twice is called twice.
# seen:  a once() listener, or one that takes itself off, makes the listener after it miss that event: "CONNECTING" never reaches
#        the on() listener. The same function added twice is called once. A listener added while an event is handed out gets
#        that event too. All objects of the SDK (client, channel, invitation) share this emitter.
# so:    add permanent listeners before any once(), and take none off inside a handler.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
node_packages ar-rtm-sdk@1.0.15
run_node <<'NODE'
const net = require("node:net");
const { seen, finish } = require("find");

// The SDK is made for browsers and looks at this when it is loaded.
globalThis.navigator = { userAgent: "Node" };
globalThis.window = globalThis;
globalThis.document = {};
const sdk = require("ar-rtm-sdk").default;

const unusedPort = () =>
    new Promise((resolve) => {
        const server = net.createServer().listen(0, "127.0.0.1", () => {
            const { port } = server.address();
            server.close(() => resolve(port));
        });
    });

(async () => {
    const Port = await unusedPort();
    const client = sdk.createInstance("a".repeat(32), {
        logFilter: sdk.LOG_FILTER_OFF,
        confPriCloudAddr: { ServerAdd: "127.0.0.1", Port, Wss: false },
    });
    const states = [];
    client.once("ConnectionStateChanged", (state) => states.push(`once ${state}`));
    client.on("ConnectionStateChanged", (state) => states.push(`on ${state}`));
    await client.login({ uid: "alice" }).catch(() => {});
    seen("first events of a login that cannot succeed", states.slice(0, 2), ["once CONNECTING", "on DISCONNECTED"]);

    const channel = client.createChannel("room");
    const calls = [];
    const leaving = () => {
        calls.push("leaving");
        channel.off("MemberJoined", leaving);
    };
    channel.on("MemberJoined", leaving);
    channel.on("MemberJoined", () => calls.push("second"));
    channel.on("MemberJoined", () => calls.push("third"));
    channel.emit("MemberJoined", "bob");
    seen("a listener that takes itself off", calls, ["leaving", "third"]);

    let count = 0;
    const counting = () => count++;
    channel.on("MemberLeft", counting);
    channel.on("MemberLeft", counting);
    channel.emit("MemberLeft", "bob");
    seen("calls of a listener added twice", count, 1);

    const late = [];
    channel.on("ChannelMessage", () => channel.on("ChannelMessage", () => late.push("called")));
    channel.emit("ChannelMessage", {}, "bob");
    seen("a listener added by a listener", late, ["called"]);
    finish();
})();
NODE
