#!/usr/bin/env bash
# mqtt 5.16.0 (npm, MQTT.js) and paho-mqtt 2.2.0 (PyPI), MQTT 5, with mosquitto 2.0.11 (Debian 12): a publish that the broker has
# said it does not take.
#
# guess: the client reads Maximum QoS, Retain Available and Maximum Packet Size in the broker's CONNACK, as the standard demands
#        (3.2.2.3), and refuses the publish itself, with an error to the application.
# seen:  both send it. The broker ends the connection with DISCONNECT and the reason; the client comes back and sends it again,
#        for ever. The application hears of breaks only: the publish is neither confirmed nor refused. A message behind it that
#        breaks no rule does not get through either. MQTT.js ignores Receive Maximum as well: of 200 messages with QoS 2 at once
#        the broker refuses some.
# so:    read the properties of the CONNACK and compare before each publish. After DISCONNECT with 0x95, 0x9A or 0x9B make a new
#        client, without what the old one has in store.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages paho-mqtt==2.2.0
node_packages mqtt@5.16.0
debian_packages mosquitto libdlt2 libwrap0 libnsl2 libtirpc3
run_python <<'PYTHON'
import time

import paho.mqtt.client as paho

from find import seen
from mqtt import mosquitto
from node import node

# Publishes the forbidden message and another one at the first connection; tells the broker's reasons and what was confirmed.
NODE = """
const mqtt = require("mqtt");
const [port, qos, retain, size] = process.argv.slice(2).map(Number);
const reasons = [];
const confirmed = [];
const client = mqtt.connect(`mqtt://127.0.0.1:${port}`, { protocolVersion: 5, reconnectPeriod: 500 });
client.on("error", () => {});
client.on("disconnect", (packet) => reasons.push(packet.reasonCode));
client.once("connect", () => {
    client.publish("find", "x".repeat(size), { qos, retain: retain === 1 }, () => confirmed.push("forbidden"));
    client.publish("find", "other", { qos: 1 }, () => confirmed.push("other"));
});
setTimeout(() => {
    console.log(JSON.stringify([[...new Set(reasons)], reasons.length > 2, confirmed]));
    process.exit();
}, 5000);
"""
BURST = """
const client = require("mqtt").connect(`mqtt://127.0.0.1:${process.argv[2]}`, { protocolVersion: 5 });
const results = [];
const done = (error) => results.push(!error) === 200 && (console.log(results.includes(false)), process.exit());
client.once("connect", () => {
    for (let i = 0; i < 200; i++) client.publish("find", "x", { qos: 2 }, done);
});
"""


def of_paho(port, qos, retain, size):
    """The same with paho: its names of the reasons, and what was confirmed."""
    reasons, confirmed, started = [], [], []

    def on_connect(client, *_):
        if not started:
            started.append(client.publish("find", "x" * size, qos, bool(retain)))
            client.publish("find", "other", 1)

    client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.reconnect_delay_set(1, 1)
    client.on_connect = on_connect
    client.on_publish = lambda client, data, number, *_: confirmed.append(number)
    client.on_disconnect = lambda client, data, flags, reason, properties: reasons.append(str(reason))
    client.connect("127.0.0.1", port)
    client.loop_start()
    time.sleep(5)
    client.disconnect()
    client.loop_stop()
    return len(reasons) > 2, confirmed


for limit, reason, message in (
    ("max_qos 1", 0x9B, (2, 0, 1)),
    ("retain_available false", 0x9A, (1, 1, 1)),
    ("max_packet_size 100", 0x95, (1, 0, 200)),
):
    with mosquitto(limit) as (port, _):
        found = node(NODE, str(port), *map(str, message))
        seen(f"{limit}, MQTT.js: reasons, more than two, confirmed", found, [[reason], True, []])
        seen(f"{limit}, paho: more than two breaks, confirmed", of_paho(port, *message), (True, []))
with mosquitto() as (port, _):
    seen("Receive Maximum 20, MQTT.js: some of 200 are refused", node(BURST, str(port)), True)
PYTHON
