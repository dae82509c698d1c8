#!/usr/bin/env bash
# mqtt 5.16.0 (npm, MQTT.js): messages of one topic with different qualities of service, published while the connection is
# broken.
#
# guess: those of QoS 0 are dropped, the others go out in the order in which they were published.
# seen:  all go out, but not in that order: QoS 0 last, behind the QoS 1 messages that were published after it. What the
#        listener of "connect" publishes comes behind all of them. The same before the first connection. While connected the
#        order is kept, and with queueQoSZero: false QoS 0 is dropped during a break.
# so:    "on" with QoS 0, then "off" with QoS 1, leaves the lamp on: one quality of service for each topic, and a number or a time
#        in the message.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
node_packages mqtt@5.16.0 mqtt-packet@9.0.2
run_node <<'NODE'
const net = require("node:net");
const mqtt = require("mqtt");
const packets = require("mqtt-packet");
const { seen, finish } = require("find");

const arrived = [];

// A broker that accepts everybody, acknowledges, and writes down what arrives.
const broker = net.createServer((socket) => {
    const parser = packets.parser();
    const answer = (packet) => socket.write(packets.generate(packet));
    parser.on("packet", ({ cmd, payload, qos, messageId }) => {
        if (cmd === "connect") answer({ cmd: "connack", returnCode: 0, sessionPresent: false });
        if (cmd !== "publish") return;
        arrived.push(String(payload));
        if (qos === 1) answer({ cmd: "puback", messageId });
    });
    socket.on("data", (data) => parser.parse(data));
    socket.on("error", () => {});
});

async function arrivals(count) {
    while (arrived.length < count) await new Promise((resolve) => setTimeout(resolve, 20));
    return arrived.splice(0);
}

const publish = (client) => {
    client.publish("lamp", "first, QoS 0", { qos: 0 });
    client.publish("lamp", "second, QoS 1", { qos: 1 });
    client.publish("lamp", "third, QoS 0", { qos: 0 });
    client.publish("lamp", "fourth, QoS 1", { qos: 1 });
};
const greet = (client) => client.publish("lamp", "hello, QoS 1", { qos: 1 });
const once = (client, event) => new Promise((resolve) => client.once(event, resolve));
const start = (options) =>
    mqtt.connect(`mqtt://127.0.0.1:${broker.address().port}`, { reconnectPeriod: 300, ...options });

async function published(when, count, options = {}) {
    const client = start(options);
    if (when === "first") client.once("connect", () => greet(client));
    else await once(client, "connect");
    if (when === "broken") {
        client.once("connect", () => greet(client));
        client.stream.destroy();
        await once(client, "close");
    }
    publish(client);
    const order = await arrivals(count);
    client.end(true);
    return order;
}

broker.listen(0, "127.0.0.1", async () => {
    const inOrder = ["first, QoS 0", "second, QoS 1", "third, QoS 0", "fourth, QoS 1"];
    const late = ["second, QoS 1", "fourth, QoS 1", "first, QoS 0", "third, QoS 0", "hello, QoS 1"];
    seen("while connected", await published("connected", 4), inOrder);
    seen("during a break", await published("broken", 5), late);
    seen("during a break, MQTT 5", await published("broken", 5, { protocolVersion: 5 }), late);
    seen("before the first connection", await published("first", 5), late);
    const without = await published("broken", 3, { queueQoSZero: false });
    seen("during a break, queueQoSZero: false", without, ["second, QoS 1", "fourth, QoS 1", "hello, QoS 1"]);
    finish();
});
NODE
