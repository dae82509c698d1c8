"""A WebSocket handshake as a client sends it, and what a server makes of one header field."""

import asyncio


async def chosen(port, lines, field):
    """The answer's status and its `field` (lower case), None without it, for a handshake with these header lines."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = [
        "GET / HTTP/1.1",
        "Host: find.test",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        *lines,
    ]
    writer.write(("\r\n".join(request) + "\r\n\r\n").encode())
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)).decode().split("\r\n")
    writer.close()
    fields = dict(line.split(": ", 1) for line in head[1:] if ": " in line)
    return int(head[0].split()[1]), {name.lower(): value for name, value in fields.items()}.get(field)
