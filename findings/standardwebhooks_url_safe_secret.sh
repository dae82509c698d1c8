#!/usr/bin/env bash
# standardwebhooks 1.1.0 (PyPI) and 1.1.1 (npm): a secret in the alphabet of base64 for URLs, with - and _ for + and /.
#
# guess: both read it, or both refuse it.
# seen:  JavaScript refuses it. Python leaves - and _ out without a word and signs with the bytes of the other letters: the
#        signature is that of the secret without them, and fits no sender that read the secret as it was meant.
# so:    make secrets with + and /, and compare one known signature on both sides before a secret is used.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages standardwebhooks==1.1.0
node_packages standardwebhooks@1.1.1
run_python <<'PYTHON'
import datetime

from standardwebhooks.webhooks import Webhook

from find import seen

now = datetime.datetime.now(datetime.timezone.utc)


def sign(secret):
    return Webhook(secret).sign("app-1", now, "{}")


with_both = "-_8yMzQ1Njc4OWFiY2RlZjAxMjM0NTY3-_8y"
seen("Python: as with + and /", sign(with_both) == sign(with_both.replace("-", "+").replace("_", "/")), False)
seen("Python: as without them", sign(with_both) == sign(with_both.replace("-", "").replace("_", "")), True)
PYTHON
run_node <<'NODE'
const { Webhook } = require("standardwebhooks");
const { seen, finish } = require("find");

let said = "signs";
try {
    new Webhook("-_8yMzQ1Njc4OWFiY2RlZjAxMjM0NTY3-_8y").sign("app-1", new Date(), "{}");
} catch (error) {
    said = "throws";
}
seen("JavaScript", said, "throws");
finish();
NODE
