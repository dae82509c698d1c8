#!/usr/bin/env bash
# paho-mqtt 2.2.0 and aiomqtt 2.5.1 (PyPI), beside mqtt 5.16.0 (npm, MQTT.js), MQTT 5, with mosquitto 2.0.11 (Debian 12): a
# publish that the broker refuses, here by its list of rights.
#
# guess: the refusal that the broker sends (0x87, not authorized) reaches whoever waits for the publish, with QoS 1 and QoS 2.
# seen:  in paho, wait_for_publish() returns and is_published() is True, as for a message that was taken. on_publish gets "Not
#        authorized" with QoS 1, but "Success" with QoS 2. "await client.publish()" of aiomqtt returns without an error. MQTT.js
#        gives an error in both cases.
# so:    with paho look at the reason in on_publish, and use QoS 1 where a refusal matters; with aiomqtt have the receiver
#        confirm.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages paho-mqtt==2.2.0 aiomqtt==2.5.1
node_packages mqtt@5.16.0
debian_packages mosquitto libdlt2 libwrap0 libnsl2 libtirpc3
run_python <<'PYTHON'
import asyncio
import os
import threading

import aiomqtt
import paho.mqtt.client as paho

from find import seen
from mqtt import mosquitto
from node import node

NODE = """
const [port, topic, qos] = process.argv.slice(2);
const client = require("mqtt").connect(`mqtt://127.0.0.1:${port}`, { protocolVersion: 5 });
client.publish(topic, "text", { qos: Number(qos) }, (error) => {
    console.log(JSON.stringify(error ? error.message : "no error"));
    process.exit();
});
"""


def of_paho(port, topic, qos):
    """Whether it counts as published, and the reason in on_publish."""
    connected, told = threading.Event(), threading.Event()
    reasons = []

    def on_publish(client, data, number, reason, properties):
        reasons.append(str(reason))
        told.set()

    client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.on_connect = lambda *_: connected.set()
    client.on_publish = on_publish
    client.connect("127.0.0.1", port)
    client.loop_start()
    connected.wait(10)
    message = client.publish(topic, "text", qos)
    message.wait_for_publish(10)
    told.wait(10)
    client.disconnect()
    client.loop_stop()
    return message.is_published(), reasons


async def of_aiomqtt(port, topic, qos):
    async with aiomqtt.Client("127.0.0.1", port, protocol=aiomqtt.ProtocolVersion.V5) as client:
        try:
            await asyncio.wait_for(client.publish(topic, "text", qos), 10)
        except aiomqtt.MqttError as error:
            return str(error)
    return "no error"


rights = os.path.join(os.environ["FIND_FOLDER"], "rights")
with open(rights, "w") as file:
    file.write("topic readwrite open\ntopic read closed\n")
with mosquitto(f"acl_file {rights}") as (port, _):
    for topic, qos, reason, error in (
        ("open", 1, "No matching subscribers", "no error"),
        ("closed", 1, "Not authorized", "Publish error: Not authorized"),
        ("closed", 2, "Success", "Publish error: Not authorized"),
    ):
        what = f"{topic}, QoS {qos}"
        seen(f"{what}, paho: published, reasons", of_paho(port, topic, qos), (True, [reason]))
        seen(f"{what}, aiomqtt", asyncio.run(of_aiomqtt(port, topic, qos)), "no error")
        seen(f"{what}, MQTT.js", node(NODE, str(port), topic, str(qos)), error)
PYTHON
