#!/usr/bin/env bash
# opentelemetry-api 1.45.2 (PyPI) and @opentelemetry/core 2.12.1 (npm): a value of W3C baggage between services in both languages.
#
# guess: what one writes the other reads, since the standard has one escape, the percent sign, and a plus sign is itself.
# seen:  Python writes a space as "+", which Node reads as a plus sign: "a b" arrives as "a+b". A plus sign that stands bare, as
#        the standard allows, is a space in Python. A property (";ttl=5") becomes a part of the value there, and is sent on
#        escaped ("v%3Bttl%3D5"), so that nobody behind it finds the property; Node keeps it. Node drops an empty value, which
#        Python keeps.
# so:    values that decide something (a tenant, a channel) are made of letters and digits, or are base64 for URLs.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages opentelemetry-api==1.45.2
node_packages @opentelemetry/api@1.9.1 @opentelemetry/core@2.12.1
run_python <<'PYTHON'
from opentelemetry import baggage
from opentelemetry.baggage.propagation import W3CBaggagePropagator

from find import seen
from node import node

NODE = """
const { W3CBaggagePropagator } = require("@opentelemetry/core");
const { propagation, ROOT_CONTEXT, defaultTextMapGetter, defaultTextMapSetter } = require("@opentelemetry/api");
const propagator = new W3CBaggagePropagator();
const context = propagator.extract(ROOT_CONTEXT, { baggage: process.argv[2] }, defaultTextMapGetter);
const sentOn = {};
propagator.inject(context, sentOn, defaultTextMapSetter);
const value = propagation.getBaggage(context)?.getEntry("key")?.value ?? null;
console.log(JSON.stringify([value, sentOn.baggage ?? null]));
"""
propagator = W3CBaggagePropagator()


def written(value):
    carrier = {}
    propagator.inject(carrier, baggage.set_baggage("key", value))
    return carrier["baggage"]


def python(header):
    """The value that it reads, and the header that it sends on."""
    context = propagator.extract({"baggage": header})
    sent_on = {}
    propagator.inject(sent_on, context)
    return [baggage.get_baggage("key", context), sent_on.get("baggage")]


seen("'a b' as Python writes it", written("a b"), "key=a+b")
for header, of_python, of_node in (
    ("key=a%20b", ["a b", "key=a+b"], ["a b", "key=a%20b"]),
    ("key=a+b", ["a b", "key=a+b"], ["a+b", "key=a%2Bb"]),
    ("key=v;ttl=5", ["v;ttl=5", "key=v%3Bttl%3D5"], ["v", "key=v;ttl=5"]),
    ("key=", ["", "key="], [None, None]),
):
    seen(f"{header!r} in Python, and sent on", python(header), of_python)
    seen(f"{header!r} in Node, and sent on", node(NODE, header), of_node)
PYTHON
