#!/usr/bin/env bash
# standardwebhooks 1.1.0 (PyPI): a `webhook-signature` header with a good v1 signature behind one of a form that it does not know.
#
# guess: what it does not know it passes over, as it does with the version v1a, and the good one counts.
# seen:  v1a is passed over. An entry without a comma, or with two, ends in a ValueError of Python's own, which is no
#        WebhookVerificationError: the good signature behind it is not looked at.
# so:    a sender puts v1 alone, or first, into the header; a receiver answers 400, and not 500, to ValueError too.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages standardwebhooks==1.1.0
run_python <<'PYTHON'
import base64
import datetime

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from find import seen

webhook = Webhook("whsec_" + base64.b64encode(b"a secret of 24 bytes, ok").decode())
now = datetime.datetime.now(datetime.timezone.utc)
body = '{"type":"user.online"}'
good = webhook.sign("app-1", now, body)


def verify(signatures):
    headers = {
        "webhook-id": "app-1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signatures,
    }
    try:
        return webhook.verify(body, headers)["type"]
    except Exception as error:
        return [type(error).__name__, isinstance(error, WebhookVerificationError)]


seen("v1a,AAAA before it", verify(f"v1a,AAAA {good}"), "user.online")
seen("v2 before it", verify(f"v2 {good}"), ["ValueError", False])
seen("v2,AAAA,key before it", verify(f"v2,AAAA,key {good}"), ["ValueError", False])
PYTHON
