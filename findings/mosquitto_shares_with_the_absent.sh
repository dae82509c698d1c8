#!/usr/bin/env bash
# mosquitto 2.0.11 (Debian 12), MQTT 5: a shared subscription, one of whose two members is offline with a session that lasts.
#
# guess: the messages go to the member that is connected; sharing is there so that somebody does the work.
# seen:  every second message is queued for the absent one, which gets it when it comes back, if ever. The publisher's
#        acknowledgement says nothing of it.
# so:    workers of a shared subscription take clean sessions, or sessions that expire soon.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
debian_packages mosquitto libdlt2 libwrap0 libnsl2 libtirpc3
run_python <<'PYTHON'
import time

from find import seen
from mqtt import LASTING_SESSION, Client, mosquitto


def worker(port, name):
    return Client(port, name, clean=False, properties=LASTING_SESSION)


with mosquitto() as (port, _):
    workers = [worker(port, name) for name in ("first", "second")]
    for client in workers:
        client.subscribe(("$share/workers/jobs", 1))
    workers[0].drop()
    time.sleep(1)
    publisher = Client(port, "publisher")
    for number in range(6):
        publisher.publish("jobs", str(number))
    present = [message["payload"] for message in workers[1].packets()]
    absent = [message["payload"] for message in worker(port, "first").packets()]
    print(f"seen: the one that is there {present}, the one that comes back {absent}")
    seen("messages for the one that is there, and for the absent one", (len(present), len(absent)), (3, 3))
PYTHON
