#!/usr/bin/env bash
# mosquitto 2.0.11 (Debian 12): one message that fits two subscriptions of one client.
#
# guess: one copy, with the higher quality of service, whichever version of MQTT the client speaks.
# seen:  so it is over MQTT 3.1.1. Over MQTT 5 the same client with the same subscriptions gets two copies, each with the quality
#        of service of its subscription, and nothing in them tells that they are one message. Both standards allow both.
# so:    a client that goes from 3.1.1 to 5 may see everything twice: let filters not overlap, or put an id into the message.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
debian_packages mosquitto libdlt2 libwrap0 libnsl2 libtirpc3
run_python <<'PYTHON'
from find import seen
from mqtt import Client, mosquitto

with mosquitto() as (port, _):
    for version, copies in ((4, [1]), (5, [1, 0])):
        client = Client(port, f"client-{version}", version)
        client.subscribe(("room/#", 0), ("room/1", 1))
        Client(port, "publisher").publish("room/1", "hello")
        name = "MQTT 5" if version == 5 else "MQTT 3.1.1"
        seen(f"{name}: QoS of each copy", [message["qos"] for message in client.packets()], copies)
PYTHON
