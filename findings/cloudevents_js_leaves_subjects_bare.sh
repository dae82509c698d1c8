#!/usr/bin/env bash
# cloudevents 10.0.0 (npm) and 2.2.0 (PyPI): a subject with letters beyond ASCII and a percent sign, in binary mode.
#
# guess: both percent-encode such a value in its header and decode it there, as the HTTP binding demands (3.1.3.2).
# seen:  Python does. JavaScript does neither: what Python sends stays encoded there, what JavaScript sends Python reads with
#        "%20" as a space, and a subject beyond Latin-1 cannot be sent at all ("Cannot convert argument to a ByteString").
# so:    keep subjects to plain ASCII without "%", or use structured mode.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages cloudevents==2.2.0
node_packages cloudevents@10.0.0
run_python <<'PYTHON'
from cloudevents.core.bindings.http import HTTPMessage, from_http_event, to_binary_event
from cloudevents.core.v1.event import CloudEvent

from find import seen

event = CloudEvent({"id": "1", "type": "find", "source": "/find", "specversion": "1.0", "subject": "café 5%"})
message = to_binary_event(event)
seen("Python sends", message.headers["ce-subject"], "caf%C3%A9%205%25")
seen("Python reads its own", from_http_event(message).get_subject(), "café 5%")
from_node = HTTPMessage({**message.headers, "ce-subject": "a%20b"}, b"")
seen("Python reads what JavaScript sends for a%20b", from_http_event(from_node).get_subject(), "a b")
PYTHON
run_node <<'NODE'
const { CloudEvent, HTTP } = require("cloudevents");
const { seen, finish } = require("find");

const event = (subject) => new CloudEvent({ id: "1", type: "find", source: "/find", subject });
const header = (subject) => HTTP.binary(event(subject)).headers["ce-subject"];
seen("JavaScript sends for café 5%", header("café 5%"), "café 5%");
seen("JavaScript sends for a%20b", header("a%20b"), "a%20b");
const headers = { ...HTTP.binary(event("room")).headers, "ce-subject": "caf%C3%A9%205%25" };
seen("JavaScript reads what Python sends", HTTP.toEvent({ headers, body: "" }).subject, "caf%C3%A9%205%25");
let sent = "yes";
try {
    new Headers(HTTP.binary(event("部屋")).headers);
} catch (error) {
    sent = error.constructor.name;
}
seen("JavaScript, headers of fetch beyond Latin-1", sent, "TypeError");
finish();
NODE
