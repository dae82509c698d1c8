#!/usr/bin/env bash
# aiomqtt 2.5.1 (PyPI) and mqtt-pattern 2.1.1 (npm), beside paho-mqtt 2.2.0 (PyPI, what aiomqtt is made of): does a topic fit a
# filter? Clients use them to hand each message to the right handler.
#
# guess: all three say what MQTT says (4.7): a wildcard in the first place leaves topics with "$" out, and "+" fits an empty level.
# seen:  in aiomqtt and mqtt-pattern "#" and "+/load" fit $SYS topics; in mqtt-pattern "+" does not fit an empty level. Paho is
#        right in all cases.
# so:    who subscribes to "#" and to "$SYS/#" finds the broker's own figures in the handler of "#": try the handlers of "$"
#        first, and stop at the first that fits. A handler for "+" in mqtt-pattern misses what the broker sends for it.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages aiomqtt==2.5.1 paho-mqtt==2.2.0
node_packages mqtt-pattern@2.1.1
run_python <<'PYTHON'
import json

from aiomqtt import Topic
from paho.mqtt.client import topic_matches_sub

from find import seen
from node import node

NODE = """
const { matches } = require("mqtt-pattern");
console.log(JSON.stringify(JSON.parse(process.argv[2]).map(([filter, topic]) => matches(filter, topic))));
"""
CASES = (
    ("sport/#", "sport", (True, True, True)),
    ("$SYS/#", "$SYS/load", (True, True, True)),
    ("#", "$SYS/load", (False, True, True)),
    ("+/load", "$SYS/load", (False, True, True)),
    ("a/+/b", "a/x/b", (True, True, True)),
    ("a/+/b", "a//b", (True, True, False)),
)

of_node = node(NODE, json.dumps([case[:2] for case in CASES]))
for (pattern, topic, outcome), in_node in zip(CASES, of_node):
    answers = (topic_matches_sub(pattern, topic), Topic(topic).matches(pattern), in_node)
    seen(f"{pattern} fits {topic!r} in paho, aiomqtt, mqtt-pattern", answers, outcome)
PYTHON
