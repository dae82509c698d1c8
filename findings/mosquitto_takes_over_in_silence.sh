#!/usr/bin/env bash
# mosquitto 2.0.11 (Debian 12), MQTT 5: a client whose id connects a second time.
#
# guess: the first connection is told why it ends, with DISCONNECT 0x8E (session taken over), as the standard demands (3.1.4).
# seen:  it just ends, with a clean session and with one that lasts; the client cannot tell it from a lost network.
# so:    two devices with one id that reconnect by themselves throw each other out for ever, and neither log says why.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
debian_packages mosquitto libdlt2 libwrap0 libnsl2 libtirpc3
run_python <<'PYTHON'
from find import seen
from mqtt import LASTING_SESSION, Client, mosquitto

with mosquitto() as (port, _):
    for clean in (True, False):
        first, second = (Client(port, f"clean-{clean}", clean=clean, properties=LASTING_SESSION) for _ in range(2))
        seen(f"the first one gets, clean session {clean}", first.packets(), ["end"])
        seen("the second one gets", second.packets(), [])
PYTHON
