#!/usr/bin/env bash
# prometheus-client 0.24.1 (Rust): label values with a backslash or a quotation mark, in the text that it encodes, read by the
# parser of prometheus-client 0.26.0 (PyPI).
#
# guess: they are escaped as OpenMetrics demands (\\ and \"), and the parser gives them back.
# seen:  they are written as they are. A quotation mark makes the parser refuse the whole page, with all the other metrics on it;
#        of C:\new it reads "C:", a line break and "ew", without an error. A value that was escaped before comes back right.
# so:    whoever encodes with this crate escapes such values first, or takes labels from a fixed list.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages prometheus-client==0.26.0
run_rust prometheus-client=0.24.1 >"$work/rust.txt" <<'RUST'
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::{counter::Counter, family::Family};
use prometheus_client::registry::Registry;

/// Prints one page for each value, with a line of dashes behind it.
fn main() {
    for value in ["plain", "C:\\new", "say \"hi\"", "C:\\\\new, \\\"hi\\\""] {
        let requests = Family::<[(&str, &str); 1], Counter>::default();
        requests.get_or_create(&[("value", value)]).inc();
        let mut registry = Registry::default();
        registry.register("requests", "Requests", requests);
        let mut page = String::new();
        encode(&mut page, &registry).unwrap();
        println!("{page}----");
    }
}
RUST
grep '^package' "$work/rust.txt"
run_python <<'PYTHON'
import os

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from find import seen

with open(os.path.join(os.environ["FIND_FOLDER"], "rust.txt")) as file:
    pages = file.read().split("----\n")
pages[0] = pages[0][pages[0].index("# HELP") :]


def label(page):
    """The only label's value; the error's name if the parser refuses the page."""
    try:
        (metric,) = text_string_to_metric_families(page)
    except ValueError as error:
        return type(error).__name__
    return metric.samples[0].labels["value"]


for page, value, expected in zip(
    pages,
    ("plain", "C:\\new", 'say "hi"', "both, escaped by hand"),
    ("plain", "C:\new", "ValueError", 'C:\\new, "hi"'),
):
    seen(f"{value!r} is read as", label(page), expected)
PYTHON
