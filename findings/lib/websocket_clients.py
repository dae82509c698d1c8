"""Clients by name: what each makes of an address. A script installs only the packages of those that it asks."""

import asyncio
import json
import logging
import os
import subprocess

logging.disable(logging.CRITICAL)
_NODE = """
const [name, ...urls] = process.argv.slice(2);
const libraries = {
    "ws": () => require("ws"),
    "undici": () => require("undici").WebSocket,
    "faye-websocket": () => require("faye-websocket").Client,
    "websocket": () => require("websocket").w3cwebsocket,
};
const Socket = libraries[name]();
const firstMessage = (url) =>
    new Promise((resolve) => {
        const socket = new Socket(url);
        let first = null;
        socket.onmessage = (event) => (first ??= event.data);
        socket.onerror = () => {};
        socket.onclose = () => resolve(first);
    });
Promise.all(urls.map(firstMessage)).then((all) => process.stdout.write(JSON.stringify(all), () => process.exit()));
"""


def first_messages(name, urls):
    """The first message that the client called `name` gets from each address; None if it refuses the handshake."""
    if name == "websocket-client":
        return [_websocket_client(url) for url in urls]
    client = {"websockets": _websockets, "aiohttp": _aiohttp, "tornado": _tornado}.get(name)
    return asyncio.run(_each(client, urls)) if client else _node(name, urls)


async def _each(client, urls):
    return [await asyncio.wait_for(client(url), 20) for url in urls]


async def _websockets(url):
    import websockets

    try:
        async with websockets.connect(url) as socket:
            return await socket.recv()
    except websockets.InvalidHandshake:
        return None


async def _aiohttp(url):
    import aiohttp

    async with aiohttp.ClientSession() as session:
        try:
            socket = await session.ws_connect(url)
        except aiohttp.ClientError:
            return None
        return (await socket.receive()).data


async def _tornado(url):
    import tornado.httpclient
    import tornado.iostream
    import tornado.websocket

    try:
        socket = await tornado.websocket.websocket_connect(url)
    except (tornado.httpclient.HTTPError, tornado.iostream.StreamClosedError):
        return None
    return await socket.read_message()


def _websocket_client(url):
    import websocket

    try:
        socket = websocket.create_connection(url, timeout=5)
    except websocket.WebSocketException:
        return None
    try:
        return socket.recv()
    finally:
        socket.close()


def _node(name, urls):
    folder = os.environ["FIND_FOLDER"]
    program = os.path.join(folder, "client.cjs")
    with open(program, "w") as file:
        file.write(_NODE)
    environment = {**os.environ, "NODE_PATH": os.path.join(folder, "node_modules")}
    return json.loads(subprocess.check_output(["node", program, name, *urls], env=environment, timeout=30))
