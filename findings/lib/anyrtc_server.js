// As much of the vendor's server as its SDK needs to log in, and the SDK itself for Node. It writes down tokens and messages.
"use strict";
const http = require("node:http");
const { WebSocketServer } = require("ws");

// Starts a server, creates a client of it, and gives both with what the server has seen.
exports.start = async () => {
    // The SDK is made for browsers and looks at these when it is loaded.
    Object.defineProperty(globalThis, "navigator", { value: { userAgent: "Node" }, configurable: true });
    Object.assign(globalThis, { window: globalThis, document: {}, WebSocket: require("ws") });
    globalThis.XMLHttpRequest = require("xhr2").XMLHttpRequest;
    const sdk = require("ar-rtm-sdk").default;

    const seen = { gateway: [], login: [], messages: [] };
    const server = http.createServer(async (request, response) => {
        let body = "";
        for await (const part of request) body += part;
        if (request.url.endsWith("wrtm_gateway")) seen.gateway.push(JSON.parse(body).token);
        const addresses = [{ type: 0, addr: "127.0.0.1", port: server.address().port }];
        response.end(JSON.stringify({ code: 0, sessionid: "s", addresses, data: [] }));
    });
    const sockets = new WebSocketServer({ server });
    sockets.on("connection", (socket) =>
        socket.on("message", (data) => {
            const { Cmd, Content } = JSON.parse(data);
            const content = Content ? JSON.parse(Content) : {};
            if (Cmd === "Login") seen.login.push(content.AcsToken);
            if (Cmd === "SendMsgToPeer") seen.messages.push(content.MsgBody);
            const answers = { Login: { Code: 0, UserId: content.UserId }, KeepAlive: {} };
            const answer = answers[Cmd];
            if (answer) socket.send(JSON.stringify({ Cmd, Encrypt: false, Content: JSON.stringify(answer) }));
        }),
    );
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    const client = sdk.createInstance("a".repeat(32), {
        logFilter: sdk.LOG_FILTER_OFF,
        confPriCloudAddr: { ServerAdd: "127.0.0.1", Port: server.address().port, Wss: false },
    });
    return {
        client,
        seen,
        // All connections break, and nobody says goodbye.
        drop: () => sockets.clients.forEach((socket) => socket.terminate()),
        // Waits until the client is in this state.
        state: (wanted) =>
            new Promise((resolve) => client.on("ConnectionStateChanged", (state) => state === wanted && resolve())),
    };
};
