"""A client of RTM's native wire, written from docs/native-wire.md alone, with Python's standard library."""
import base64
import collections
import contextlib
import hashlib
import os
import secrets
import socket
import time

ERRORS = """Failure InvalidArgument Rejected Timeout TooOften NotLoggedIn InvalidAppId InvalidToken TokenExpired NotAuthorized
    Banned AlreadyLogin AbortedByLogout GatewayConnectFailed InvalidUserId InvalidMessage IncompatibleMessage ExceedLimit
    SizeOverflow UserNotFound AlreadyJoined AlreadyJoinedSameId SameChannelTooOften AbortedByLeave NotInChannel NotStarted
    AlreadyEnd AlreadyAccept AlreadySent OutcomeUnknown RevisionConflict Unsupported""".split()
REASONS = """Logout RemoteLogin TokenExpired Banned Draining Replaced KeepAliveTimeout LoginTimeout SlowConsumer ProtocolError
    Internal""".split()
EVENTS = {
    0: "MessageFromPeer message_id:number peer_id:text message:message is_offline_message:flag server_received_ts:number",
    1: "PeersOnlineStatusChanged peers:peers",
    10: "ChannelMessage channel_id:text message_id:number member_id:text message:message server_received_ts:number",
    11: "MemberJoined channel_id:text member_id:text member_count:number",
    12: "MemberLeft channel_id:text member_id:text member_count:number",
    13: "MemberCountUpdated channel_id:text member_count:number",
    15: "Gap channel_id:text? lost:number?",
}
VERSION, MOST_BYTES = 1, 1 << 20


class Refused(Exception):
    """The server refused a login or a call."""

    def __init__(self, kind, detail):
        super().__init__(f"{kind}: {detail}")
        self.kind = kind


class Closed(Exception):
    """The connection has ended. `reason` is None where no frame said why."""

    def __init__(self, reason, code=None, text=""):
        super().__init__(f"{reason or 'the connection was lost'} ({code} {text})")
        self.reason, self.code, self.text = reason, code, text
        self.may_come_back = reason not in ("Logout", "RemoteLogin", "TokenExpired", "Banned")


class Unknown(Refused):
    """A kind of thing that this client does not know: an event becomes a gap, an answer ends its call."""


def number(n):
    for most, marker, size in ((250, b"", 1), (0xFFFF, b"\xfb", 2), (0xFFFFFFFF, b"\xfc", 4), (2**64 - 1, b"\xfd", 8)):
        if n <= most:
            return marker + n.to_bytes(size, "little")
    raise ValueError(n)


def flag(yes):
    return bytes([bool(yes)])


def text(s):
    return binary(s.encode())


def binary(b):
    return number(len(b)) + b


def optional(value, write):
    return b"\x00" if value is None else b"\x01" + write(value)


def message(content):
    return b"\x00" + text(content) if isinstance(content, str) else b"\x01" + binary(content)


class Reader:
    """Reads values one after the other. What is left at the end is of a newer version and is passed over."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def __bool__(self):
        return self.at < len(self.data)

    def take(self, count):
        if self.at + count > len(self.data):
            raise Closed("ProtocolError", 1002, "a frame is cut short")
        self.at += count
        return self.data[self.at - count:self.at]

    def tag(self):
        return self.take(1)[0]

    def number(self):
        first = self.tag()
        if first <= 250:
            return first
        if first > 253:
            raise Closed("ProtocolError", 1002, "a number is broken")
        return int.from_bytes(self.take((2, 4, 8)[first - 251]), "little")

    def flag(self):
        return self.tag() == 1

    def binary(self):
        return self.take(self.number())

    def text(self):
        return self.binary().decode()

    def part(self):
        return Reader(self.binary())

    def optional(self, read):
        return read() if self.flag() else None

    def list(self, read):
        return [read() for _ in range(self.number())]

    def one_of(self, names):
        tag = self.tag()
        if tag >= len(names):
            raise Unknown("OutcomeUnknown", f"tag {tag}")
        return names[tag]

    def message(self):
        kind = self.one_of(("Text", "Binary", "Value"))
        return self.text() if kind == "Text" else self.binary()

    def refusal(self):
        tag = self.tag()
        return Refused(ERRORS[tag] if tag < len(ERRORS) else "Failure", self.text())

    def read(self, kind):
        return self.optional(getattr(self, kind[:-1])) if kind.endswith("?") else getattr(self, kind)()

    def peers(self):
        entries = self.list(self.part)
        return {entry.text(): entry.one_of(("Online", "Unreachable", "Offline")) for entry in entries}


def read_event(reader):
    """A name and its fields; of the kinds that this client has a use for."""
    name, *fields = EVENTS[reader.tag()].split()
    return name, {field: reader.read(kind) for field, kind in (field.split(":") for field in fields)}


class WebSocket:
    """As much of RFC 6455 as this wire needs."""

    def __init__(self, host, port, deadline):
        self.stream = socket.create_connection((host, port), timeout=max(0.001, deadline - time.monotonic()))
        self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.unread, self.message = b"", b""
        key = base64.b64encode(os.urandom(16)).decode()
        self.stream.sendall(
            f"GET / HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Protocol: rtm.v1\r\n\r\n".encode())
        while b"\r\n\r\n" not in self.unread:
            self._read_more(deadline)
        head, self.unread = self.unread.split(b"\r\n\r\n", 1)
        accept = base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest())
        wanted = [b" 101 ", b"sec-websocket-accept: " + accept.lower(), b"sec-websocket-protocol: rtm.v1"]
        if not all(part in head.lower() for part in wanted):
            raise Closed(None, None, head.decode("latin-1"))

    def _read_more(self, deadline):
        self.stream.settimeout(max(0.001, deadline - time.monotonic()))
        try:
            more = self.stream.recv(65536)
        except ConnectionError as error:
            raise Closed(None) from error
        if not more:
            raise Closed(None)
        self.unread += more

    def _need(self, count, deadline):
        while len(self.unread) < count:
            self._read_more(deadline)

    def _send(self, opcode, payload):
        length = len(payload)
        short, size = (length, 0) if length < 126 else (126, 2) if length < 65536 else (127, 8)
        head = bytes([0x80 | opcode, 0x80 | short]) + (length.to_bytes(size, "big") if size else b"")
        mask = os.urandom(4)
        stretched = (mask * (length // 4 + 1))[:length]
        masked = (int.from_bytes(payload, "big") ^ int.from_bytes(stretched, "big")).to_bytes(length, "big")
        self.stream.settimeout(10)
        try:
            self.stream.sendall(head + mask + masked)
        except OSError as error:
            raise Closed(None) from error

    def send(self, packet):
        self._send(2, packet)

    def receive(self, deadline):
        """The next packet. TimeoutError at the deadline; then it may be called again."""
        while True:
            is_final, opcode, payload = self._frame(deadline)
            if opcode == 9:
                self._send(10, payload)
            elif opcode == 8:
                code = int.from_bytes(payload[:2], "big") if payload else None
                self.close(code or 1000)
                raise Closed(None, code, payload[2:].decode(errors="replace"))
            elif opcode in (0, 2):
                self.message += payload
                if is_final:
                    packet, self.message = self.message, b""
                    return packet
            elif opcode != 10:
                raise Closed("ProtocolError", 1002, f"a message of kind {opcode}")

    def _frame(self, deadline):
        """The next frame. Nothing is taken off what was read before all of it is there."""
        self._need(2, deadline)
        length, start = self.unread[1] & 0x7F, 2
        if length > 125:
            start = 4 if length == 126 else 10
            self._need(start, deadline)
            length = int.from_bytes(self.unread[2:start], "big")
        if length > MOST_BYTES:
            raise Closed("ProtocolError", 1002, "a message is too long")
        self._need(start + length, deadline)
        first, payload, self.unread = self.unread[0], self.unread[start:start + length], self.unread[start + length:]
        return first & 0x80, first & 0x0F, payload

    def close(self, code=1000):
        with contextlib.suppress(Closed):
            self._send(8, code.to_bytes(2, "big"))
        self.stream.close()


class Client:
    """One client object: one user, one session at a time. Nothing happens but in its methods, which all have deadlines."""

    def __init__(self, host, port, app_id, user_id, token=None, window=1024, keep_alive=("Server", 2000), timeout=10):
        self.address, self.app_id, self.user_id, self.token = (host, port), app_id, user_id, token
        self.window, self.keep_alive, self.timeout = window, keep_alive, timeout
        self.instance, self.ticket, self.socket = secrets.token_hex(16), None, None
        self.received = self.consumed = self.told = 0
        self.next_id, self.last_message = 1, int(time.time() * 1000)
        self.unanswered, self.replies = {}, {}
        self.events, self.pongs, self.pings = collections.deque(), 0, 0

    def send(self, *frames):
        if frames:
            self.socket.send(bytes([VERSION]) + b"".join(binary(frame) for frame in frames))

    def _ack(self):
        self.told = self.consumed
        answered = min(self.unanswered, default=self.next_id)
        return b"\x02" + number(self.received) + number(self.consumed) + number(answered)

    def pump(self, deadline):
        """Reads one packet and does what it asks for."""
        packet = Reader(self.socket.receive(deadline))
        if packet.tag() != VERSION:
            raise Refused("Unsupported", "the server speaks another version of the wire")
        before, answers, outcome = self.received, [], None
        while packet:
            outcome = self._frame(packet.part(), answers) or outcome
        if self.received > before:
            answers.append(self._ack())
        self.send(*answers)
        return outcome

    def _frame(self, frame, answers):
        tag = frame.tag()
        if tag == 0:
            return self._welcome(frame)
        if tag == 1:
            raise frame.refusal()
        if tag == 2:
            id, is_refused = frame.number(), frame.flag()
            if self.unanswered.pop(id, None):
                self.replies[id] = frame.refusal() if is_refused else frame
        elif tag == 3:
            self._event(frame.number(), frame)
        elif tag == 4:
            self.pings += 1
            answers.append(b"\x04")
        elif tag == 5:
            self.pongs += 1
        elif tag == 6:
            reason = frame.tag()
            raise Closed(REASONS[reason] if reason < len(REASONS) else "Internal" if reason < 128 else "Banned")
        elif not 128 <= tag <= 250:
            raise Closed("ProtocolError", 1002, f"a frame with tag {tag}")

    def _event(self, seq, frame):
        if seq <= self.received:
            return  # A repeat.
        if seq > self.received + 1:
            self.events.append((seq - 1, "Gap", {"channel_id": None, "lost": seq - 1 - self.received}))
        self.received = seq
        try:
            name, fields = read_event(frame)
        except (KeyError, Unknown):
            name, fields = "Gap", {"channel_id": None, "lost": 1}
        self.events.append((seq, name, fields))

    def _welcome(self, frame):
        frame.text()
        self.ticket = frame.optional(lambda: (frame.take(16), frame.number()))
        resumption = frame.one_of(("New", "Resumed", "Lapsed"))
        if resumption == "New":
            self.received = self.consumed = self.told = 0
            self.events.clear()
        return resumption

    def login(self):
        """Connects, with a session that there was before if there was one. Says what became of that."""
        deadline = time.monotonic() + self.timeout
        self.socket = WebSocket(*self.address, deadline)
        resume = self.ticket and self.ticket[0] + number(self.ticket[1]) + self._ack()[1:]
        kind, interval_ms = self.keep_alive
        self.send(
            b"\x00" + text(self.app_id) + optional(self.user_id, text) + optional(self.token, text) + text(self.instance)
            + optional(resume, bytes) + flag(kind == "Server") + number(interval_ms) + number(self.window) + number(39))
        while (resumption := self.pump(deadline)) is None:
            pass
        if resumption == "New":
            self.replies.update({id: Refused("OutcomeUnknown", "a new session") for id in self.unanswered})
            self.unanswered.clear()
        elif self.unanswered:
            self.send(*(self.unanswered[id] for id in sorted(self.unanswered)))
        return resumption

    def start(self, operation, fields=b""):
        """Sends a request, and answers its id."""
        id, self.next_id = self.next_id, self.next_id + 1
        self.unanswered[id] = b"\x01" + number(id) + bytes([operation]) + fields
        self.send(self.unanswered[id])
        return id

    def finish(self, id, operation):
        """Waits for the reply to a request: a reader of the answer."""
        deadline = time.monotonic() + self.timeout
        while id not in self.replies:
            self.pump(deadline)
        reply = self.replies.pop(id)
        if isinstance(reply, Refused):
            raise reply
        if reply.tag() != operation:
            raise Closed("ProtocolError", 1002, "the answer is one to another operation")
        return reply

    def call(self, operation, fields=b""):
        return self.finish(self.start(operation, fields), operation)

    def start_message(self, peer_id, content, offline=False):
        self.last_message += 1
        return self.start(1, number(self.last_message) + text(peer_id) + message(content) + flag(offline) + flag(False))

    def outcome(self, id):
        return self.finish(id, 1).one_of(("Delivered", "Stored", "NotReceived"))

    def join_channel(self, channel_id):
        self.call(15, text(channel_id))

    def send_channel_message(self, channel_id, content):
        self.last_message += 1
        self.call(17, number(self.last_message) + text(channel_id) + message(content) + flag(False))

    def next_event(self, *names, timeout=None):
        """The next event, or the next of these names; those before it are taken too."""
        deadline = time.monotonic() + (timeout or self.timeout)
        while True:
            while not self.events:
                self.pump(deadline)
            self.consumed, name, fields = self.events.popleft()
            if self.window and self.consumed - self.told >= max(1, self.window // 2):
                self.send(self._ack())
            if not names or name in names:
                return name, fields

    def ping(self):
        wanted, deadline = self.pongs + 1, time.monotonic() + self.timeout
        self.send(b"\x03")
        while self.pongs < wanted:
            self.pump(deadline)

    def logout(self):
        self.send(b"\x05")
        try:
            while True:
                self.pump(time.monotonic() + self.timeout)
        except Closed as closed:
            self.socket.close()
            self.ticket = None
            return closed.reason

    def cut(self):
        """The network fails: nobody says goodbye."""
        self.socket.stream.close()
