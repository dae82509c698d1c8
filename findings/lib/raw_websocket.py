"""A WebSocket server that sends exactly the bytes it is told to, and a reader of frames."""

import base64
import hashlib
import socket
import struct
import threading

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def serve(handler):
    """Runs `handler(connection, path)` for every connection, after the handshake; returns the port."""
    return serve_handshake(lambda connection, request: handler(_accepted(connection, request), _path(request)))


def serve_handshake(handler):
    """Runs `handler(connection, request)` for every connection, before any answer; returns the port."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(50)

    def accept():
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=run, args=(connection,), daemon=True).start()

    def run(connection):
        connection.settimeout(10)
        try:
            with connection:
                request = b""
                while b"\r\n\r\n" not in request:
                    request += connection.recv(4096)
                handler(connection, request)
        except (OSError, EOFError):
            pass

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


def accept_answer(request, extensions=""):
    """The 101 for `request`."""
    key = next(
        line.split(b":", 1)[1].strip()
        for line in request.split(b"\r\n")
        if line.lower().startswith(b"sec-websocket-key:")
    )
    answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
    answer += base64.b64encode(hashlib.sha1(key + _GUID).digest()).decode() + "\r\n"
    if extensions:
        answer += f"Sec-WebSocket-Extensions: {extensions}\r\n"
    return (answer + "\r\n").encode()


def frame(opcode, payload, first_bits=0x80):
    """An unmasked frame of at most 125 bytes; FIN is set unless `first_bits` says otherwise."""
    return bytes([first_bits | opcode, len(payload)]) + payload


def close_frame(code, reason=b""):
    """An unmasked close frame."""
    return frame(8, struct.pack(">H", code) + reason)


def read_frame(connection):
    """The next frame's opcode and payload; EOFError at the end."""
    head = _read(connection, 2)
    length = head[1] & 0x7F
    if length == 126:
        length = struct.unpack(">H", _read(connection, 2))[0]
    elif length == 127:
        length = struct.unpack(">Q", _read(connection, 8))[0]
    mask = _read(connection, 4) if head[1] & 0x80 else bytes(4)
    payload = _read(connection, length)
    return head[0] & 0x0F, bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


def _read(connection, count):
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def _path(request):
    return request.split()[1].decode()


def _accepted(connection, request):
    connection.sendall(accept_answer(request))
    return connection
