#!/usr/bin/env bash
# prom-client 15.1.3 (npm) and prometheus-client 0.26.0 (PyPI): the same counter and histogram in both exposition formats.
#
# guess: a counter that is called "jobs" has one name, whichever format is asked for, and a bucket up to 1 has one label,
#        whichever library wrote it.
# seen:  prom-client writes jobs in the older format and jobs_total in OpenMetrics; Python writes jobs_total in both. prom-client
#        writes le="1" in both formats, against OpenMetrics, which wants le="1.0", as Python writes it in both.
# so:    call counters "..._total" from the start. Where Node and Python have one histogram, a query by le="1" finds half of it:
#        choose limits that are no whole numbers, or match le=~"1|1.0".
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages prometheus-client==0.26.0
node_packages prom-client@15.1.3
run_python <<'PYTHON'
import prometheus_client
from prometheus_client.openmetrics import exposition

from find import seen

registry = prometheus_client.CollectorRegistry()
prometheus_client.Counter("jobs", "How many.", registry=registry).inc()
prometheus_client.Histogram("wait_seconds", "How long.", buckets=[0.5, 1], registry=registry).observe(0.2)
for name, text in (
    ("older format", prometheus_client.generate_latest(registry)),
    ("OpenMetrics", exposition.generate_latest(registry)),
):
    samples = [line.split()[0] for line in text.decode().splitlines() if not line.startswith("#")]
    found = [sample for sample in samples if sample.startswith(("jobs_total", "wait_seconds_bucket"))]
    limits = [f'wait_seconds_bucket{{le="{limit}"}}' for limit in ("0.5", "1.0", "+Inf")]
    seen(f"Python, {name}", found, ["jobs_total", *limits])
PYTHON
run_node <<'NODE'
const { Counter, Histogram, Registry } = require("prom-client");
const { seen, finish } = require("find");

(async () => {
    for (const [name, type, counter] of [
        ["older format", Registry.PROMETHEUS_CONTENT_TYPE, "jobs"],
        ["OpenMetrics", Registry.OPENMETRICS_CONTENT_TYPE, "jobs_total"],
    ]) {
        const registry = new Registry(type);
        const registers = [registry];
        new Counter({ name: "jobs", help: "How many.", registers }).inc();
        new Histogram({ name: "wait_seconds", help: "How long.", buckets: [0.5, 1], registers }).observe(0.2);
        const samples = (await registry.metrics()).split("\n").map((line) => line.split(" ")[0]);
        const found = samples.filter((sample) => /^(jobs|wait_seconds_bucket)/.test(sample));
        const limits = ["0.5", "1", "+Inf"].map((limit) => `wait_seconds_bucket{le="${limit}"}`);
        seen(`Node, ${name}`, found, [counter, ...limits]);
    }
    finish();
})();
NODE
