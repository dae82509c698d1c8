#!/usr/bin/env bash
# promtool 2.42.0 (Debian 12, package prometheus): "promtool check metrics" on OpenMetrics, which Prometheus itself scrapes.
#
# guess: it reads both formats, as the server of the same package does; the text ends with "# EOF", which tells them apart.
# seen:  it reads everything as the older text format. A gauge passes. A counter is found to have no help, as its HELP and TYPE
#        lack the suffix "_total" of its sample; an exemplar and the types info and unknown end the check with a parse error.
# so:    fetch the older format for this check (Accept: text/plain), or what is right is reported as wrong.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
debian_packages prometheus
run_python <<'PYTHON'
import os
import subprocess

from find import seen

PROMTOOL = os.path.join(os.environ["FIND_FOLDER"], "root", "usr", "bin", "promtool")
HISTOGRAM = """\
# HELP wait_seconds How long.
# TYPE wait_seconds histogram
wait_seconds_bucket{le="1.0"} 1%s
wait_seconds_bucket{le="+Inf"} 1
wait_seconds_sum 0.5
wait_seconds_count 1
"""


def check(text):
    """The exit status and the first line that the check prints."""
    done = subprocess.run([PROMTOOL, "check", "metrics"], input=text, capture_output=True, text=True, timeout=60)
    return done.returncode, (done.stdout + done.stderr).partition("\n")[0]


EOF = "# EOF\n"
older = "# HELP a_total How many.\n# TYPE a_total counter\na_total 1\n"
seen("older format, counter", check(older), (0, ""))
gauge = "# HELP a_seconds How long.\n# TYPE a_seconds gauge\n# UNIT a_seconds seconds\na_seconds 1\n"
seen("gauge", check(gauge + EOF), (0, ""))
seen("counter", check("# HELP a How many.\n# TYPE a counter\na_total 1\n" + EOF), (3, "a_total no help text"))
error = "error while linting: text format parsing error in line "
seen("histogram", check(HISTOGRAM % "" + EOF), (0, ""))
exemplar = check(HISTOGRAM % ' # {trace_id="1"} 0.5' + EOF)
seen("histogram with an exemplar", exemplar, (1, error + '3: expected integer as timestamp, got "#"'))
for kind, sample in (("unknown", "a 1"), ("info", 'a_info{version="1"} 1')):
    text = f"# HELP a What.\n# TYPE a {kind}\n{sample}\n{EOF}"
    seen(kind, check(text), (1, f'{error}2: unknown metric type "{kind}"'))
PYTHON
