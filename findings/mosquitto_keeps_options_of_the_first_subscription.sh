#!/usr/bin/env bash
# mosquitto 2.0.11 (Debian 12), MQTT 5: a second SUBSCRIBE with the same filter and other options.
#
# guess: it replaces the first one, as the standard demands (3.8.4): quality of service, identifier, No Local and Retain As
#        Published.
# seen:  the quality of service and the identifier are the new ones. No Local and Retain As Published stay as the first SUBSCRIBE
#        had them, and the SUBACK says success.
# so:    unsubscribe first when these two change, also after a reconnect into a session that is still there.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
debian_packages mosquitto libdlt2 libwrap0 libnsl2 libtirpc3
run_python <<'PYTHON'
from find import seen
from mqtt import Client, mosquitto

NO_LOCAL, RETAIN_AS_PUBLISHED = 4, 8
IDENTIFIER = 0x0B

with mosquitto() as (port, _):
    client = Client(port, "client")
    client.subscribe(("quality", 0), properties=bytes([IDENTIFIER, 7]))
    client.subscribe(("quality", 1), properties=bytes([IDENTIFIER, 8]))
    client.subscribe(("local", 1))
    client.subscribe(("local", 1 | NO_LOCAL))
    client.subscribe(("retain", 1))
    client.subscribe(("retain", 1 | RETAIN_AS_PUBLISHED))
    client.subscribe(("retain once", 1 | RETAIN_AS_PUBLISHED))
    publisher = Client(port, "publisher")

    publisher.publish("quality", "hello")
    (message,) = client.packets()
    seen("QoS and identifier", (message["qos"], message["properties"]), (1, "0b08"))
    client.publish("local", "hello")
    seen("own messages in spite of No Local", [message["payload"] for message in client.packets()], ["hello"])
    publisher.publish("retain once", "hello", retain=True)
    seen("retain flag, asked for at first", [message["retain"] for message in client.packets()], [True])
    publisher.publish("retain", "hello", retain=True)
    seen("retain flag, asked for later", [message["retain"] for message in client.packets()], [False])
PYTHON
