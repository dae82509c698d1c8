#!/usr/bin/env bash
# ar-rtm-sdk 1.0.15 (npm, the vendor's SDK): two clients in one program, each created for a server of its own.
#
# guess: createInstance(appId, { confPriCloudAddr }) sets the server of that client.
# seen:  the address belongs to the module: a client that has logged in at its server before logs in at the server of the client
#        that was created last.
# so:    one program talks to one server. For two, load the module twice (require.cache, or an import with a query).
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
node_packages ar-rtm-sdk@1.0.15 xhr2@0.2.1 ws@8.18.3
run_node <<'NODE'
const http = require("node:http");
const { seen, finish } = require("find");

// The SDK is made for browsers and looks at this when it is loaded.
Object.defineProperty(globalThis, "navigator", { value: { userAgent: "Node" }, configurable: true });
globalThis.window = globalThis;
globalThis.document = {};
globalThis.XMLHttpRequest = require("xhr2").XMLHttpRequest;
globalThis.WebSocket = require("ws");
const sdk = require("ar-rtm-sdk").default;

// A gateway that writes down who asked, and lets nobody in.
const gateway = (name, asked) =>
    new Promise((resolve) => {
        const server = http.createServer(async (request, response) => {
            let body = "";
            for await (const part of request) body += part;
            asked.push(`${JSON.parse(body).uid} at ${name}`);
            response.end(JSON.stringify({ code: 4 }));
        });
        server.listen(0, "127.0.0.1", () => resolve({ port: server.address().port, close: () => server.close() }));
    });
const create = ({ port }) =>
    sdk.createInstance("a".repeat(32), {
        logFilter: sdk.LOG_FILTER_OFF,
        confPriCloudAddr: { ServerAdd: "127.0.0.1", Port: port, Wss: false },
    });

(async () => {
    const asked = [];
    const one = await gateway("the first server", asked);
    const two = await gateway("the second server", asked);
    const alice = create(one);
    await alice.login({ uid: "alice" }).catch(() => {});
    const bob = create(two);
    await bob.login({ uid: "bob" }).catch(() => {});
    await alice.login({ uid: "alice" }).catch(() => {});
    seen("logins", asked, ["alice at the first server", "bob at the second server", "alice at the second server"]);
    finish();
})();
NODE
