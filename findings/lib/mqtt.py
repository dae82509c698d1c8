"""mosquitto, unpacked from Debian's package, and an MQTT client that shows single packets."""

import contextlib
import os
import socket
import struct
import subprocess
import time

from proxies import free_port, wait_for

LASTING_SESSION = b"\x11\x00\x00\xff\xff"
_NAMES = {2: "CONNACK", 4: "PUBACK", 9: "SUBACK", 14: "DISCONNECT"}


@contextlib.contextmanager
def mosquitto(extra=""):
    """Runs the broker; yields its ports for MQTT and for MQTT over WebSocket. `extra` is more configuration, for the first."""
    home = os.environ["FIND_FOLDER"]
    ports = free_port(), free_port()
    config = os.path.join(home, "mosquitto.conf")
    with open(config, "w") as file:
        file.write(
            f"user root\nallow_anonymous true\nlistener {ports[0]} 127.0.0.1\n{extra}\n"
            f"listener {ports[1]} 127.0.0.1\nprotocol websockets\n"
        )
    binary = os.path.join(home, "root", "usr", "sbin", "mosquitto")
    broker = subprocess.Popen([binary, "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for port in ports:
            wait_for(port)
        yield ports
    finally:
        broker.terminate()
        broker.wait()


def text(value):
    """A text as MQTT writes it."""
    return struct.pack(">H", len(value)) + value.encode()


def packet(first, body):
    """A packet of at most 127 bytes behind its first two."""
    return bytes([first, len(body)]) + body


def connect(name, version=5, clean=True, properties=b""):
    """The packet that opens a session."""
    body = text("MQTT") + bytes([version, 2 if clean else 0]) + struct.pack(">H", 60)
    if version == 5:
        body += bytes([len(properties)]) + properties
    return packet(0x10, body + text(name))


class Client:
    """A connected client. Its messages are acknowledged as they are read."""

    def __init__(self, port, name, version=5, clean=True, properties=b""):
        self.version = version
        self._socket = socket.create_connection(("127.0.0.1", port), 5)
        self._data = b""
        self._early = []
        self._socket.sendall(connect(name, version, clean, properties))
        self._expect("CONNACK")

    def subscribe(self, *filters, properties=b""):
        """Subscribes to pairs of a filter and its options; returns the granted qualities of service."""
        body = b"\x00\x01" + self._properties(properties)
        self._socket.sendall(packet(0x82, body + b"".join(text(name) + bytes([options]) for name, options in filters)))
        return list(self._expect("SUBACK")[-len(filters) :])

    def publish(self, topic, payload, retain=False):
        """Publishes with QoS 1 and waits for the acknowledgement."""
        body = text(topic) + b"\x00\x01" + self._properties(b"") + payload.encode()
        self._socket.sendall(packet(0x33 if retain else 0x32, body))
        self._expect("PUBACK")

    def packets(self, seconds=2):
        """What comes until nothing came for so long: a message as a dictionary, "end" for the end, else the packet's name."""
        found, self._early = self._early, []
        while (kind := self._read(seconds)) is not None:
            found.append(kind[0])
            if kind[0] == "end":
                break
        return found

    def drop(self):
        """Ends the connection without DISCONNECT."""
        self._socket.close()

    def _expect(self, wanted):
        while (kind := self._read(10)) is not None and kind[0] != "end":
            if kind[0] == wanted:
                return kind[1]
            self._early.append(kind[0])
        raise SystemExit(f"no {wanted}, but {kind}")

    def _properties(self, properties):
        return bytes([len(properties)]) + properties if self.version == 5 else b""

    def _read(self, seconds):
        self._socket.settimeout(seconds)
        try:
            head = self._take(2)
            body = self._take(head[1])
        except TimeoutError:
            return None
        except (EOFError, ConnectionError):
            return "end", b""
        if head[0] >> 4 != 3:
            return _NAMES[head[0] >> 4], body
        return self._message(head[0], body), body

    def _message(self, flags, body):
        quality = flags >> 1 & 3
        end = 2 + struct.unpack(">H", body[:2])[0]
        message = {"topic": body[2:end].decode(), "qos": quality, "retain": bool(flags & 1)}
        if quality:
            self._socket.sendall(packet(0x40, body[end : end + 2]))
            end += 2
        if self.version == 5:
            message["properties"] = body[end + 1 : end + 1 + body[end]].hex()
            end += 1 + body[end]
        return {**message, "payload": body[end:].decode()}

    def _take(self, count):
        while len(self._data) < count:
            part = self._socket.recv(4096)
            if not part:
                raise EOFError
            self._data += part
        taken, self._data = self._data[:count], self._data[count:]
        return taken
