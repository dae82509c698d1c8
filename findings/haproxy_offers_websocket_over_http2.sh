#!/usr/bin/env bash
# haproxy 2.6.12 (Debian 12) with HTTP/2 towards clients, and a server behind it that knows HTTP/1.1 only: WebSocket over HTTP/2
# (RFC 8441).
#
# guess: haproxy hands on what both sides know; a client has to open WebSockets over HTTP/1.1.
# seen:  haproxy offers extended CONNECT unasked. It makes an HTTP/1.1 handshake of it, with a key that it invents (over HTTP/2 a
#        client sends none), answers 200 to the client for the server's 101, and passes the subprotocol on both ways.
# so:    browsers may open WebSockets over HTTP/2 to a server that knows nothing of it: what a trace in the browser shows (method,
#        status, no key) is not what the server's log shows.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
debian_packages haproxy libopentracing1 libopentracing-c-wrapper0 liblua5.3-0
run_node <<'NODE'
const { spawn } = require("node:child_process");
const { createHash } = require("node:crypto");
const { once } = require("node:events");
const { writeFileSync } = require("node:fs");
const http = require("node:http");
const http2 = require("node:http2");
const net = require("node:net");
const { seen, finish } = require("find");

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const home = process.env.FIND_FOLDER;
const listening = async (server) => {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return server.address().port;
};

(async () => {
    const requests = [];
    const backend = http.createServer().on("upgrade", (request, socket) => {
        requests.push(request);
        const accept = createHash("sha1").update(request.headers["sec-websocket-key"] + GUID).digest("base64");
        socket.write(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
                `Sec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: find.v1\r\n\r\n`,
        );
        socket.pipe(socket);
    });
    const backendPort = await listening(backend);
    const free = net.createServer();
    const port = await listening(free);
    free.close();
    writeFileSync(
        `${home}/haproxy.conf`,
        `defaults\n mode http\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n` +
            `listen find\n bind 127.0.0.1:${port} proto h2\n server backend 127.0.0.1:${backendPort}\n`,
    );
    const haproxy = spawn(`${home}/root/usr/sbin/haproxy`, ["-f", `${home}/haproxy.conf`], { stdio: "ignore" });
    for (let open = false; !open; ) {
        const socket = net.connect(port, "127.0.0.1");
        open = await new Promise((resolve) => socket.on("connect", () => resolve(true)).on("error", () => resolve(false)));
        socket.destroy();
    }

    const client = http2.connect(`http://127.0.0.1:${port}`);
    const [settings] = await once(client, "remoteSettings");
    seen("extended CONNECT is offered", settings.enableConnectProtocol, true);
    const stream = client.request({
        ":method": "CONNECT",
        ":protocol": "websocket",
        ":scheme": "http",
        ":authority": "find.test",
        ":path": "/",
        "sec-websocket-version": "13",
        "sec-websocket-protocol": "find.v1",
    });
    const [answer] = await once(stream, "response");
    seen("status", answer[":status"], 200);
    seen("subprotocol", answer["sec-websocket-protocol"], "find.v1");
    const { httpVersion, headers } = requests[0];
    seen("the server sees HTTP version", httpVersion, "1.1");
    seen("characters of the key that the server sees", headers["sec-websocket-key"].length, 24);
    stream.write("bytes");
    seen("bytes go both ways", String((await once(stream, "data"))[0]), "bytes");
    haproxy.kill();
    finish();
})();
NODE
