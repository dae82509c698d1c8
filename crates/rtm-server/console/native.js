// A small client of the native wire, written from docs/native-wire.md.

const ERRORS = `Failure InvalidArgument Rejected Timeout TooOften NotLoggedIn InvalidAppId InvalidToken TokenExpired NotAuthorized Banned AlreadyLogin
  AbortedByLogout GatewayConnectFailed InvalidUserId InvalidMessage IncompatibleMessage ExceedLimit SizeOverflow UserNotFound AlreadyJoined
  AlreadyJoinedSameId SameChannelTooOften AbortedByLeave NotInChannel NotStarted AlreadyEnd AlreadyAccept AlreadySent OutcomeUnknown RevisionConflict
  Unsupported`.split(/\s+/);
const REASONS = "Logout RemoteLogin TokenExpired Banned Draining Replaced KeepAliveTimeout LoginTimeout SlowConsumer ProtocolError Internal".split(" ");
const STAY_AWAY = ["Logout", "RemoteLogin", "TokenExpired", "Banned", "Replaced"];
const OUTCOMES = ["Delivered", "Stored", "NotReceived"], STATES = ["Online", "Unreachable", "Offline"];
const RESUMPTIONS = ["New", "Resumed", "Lapsed"];
const LOCAL_FAILURES = ["PeerOffline", "PeerNoResponse", "InvitationExpire", "NotLoggedIn"], REMOTE_FAILURES = ["PeerOffline", "AcceptFailure", "InvitationExpire"];

// Each kind of event: its name and how its fields are read, in their order.
const EVENTS = [
  ["MessageFromPeer", { message_id: "number", peer_id: "text", message: "message", is_offline_message: "flag", server_received_ts: "number" }],
  ["PeersOnlineStatusChanged", { peers: "peers" }],
  ["TokenWillExpire", { expires_in_ms: "number" }],
  ["RemoteInvitationReceived", { call_id: "text", caller_id: "text", content: "text" }],
  ["RemoteInvitationCanceled", { call_id: "text", caller_id: "text", content: "text" }],
  ["RemoteInvitationFailure", { call_id: "text", caller_id: "text", reason: REMOTE_FAILURES }],
  ["LocalInvitationReceivedByPeer", { call_id: "text", callee_id: "text" }],
  ["LocalInvitationAccepted", { call_id: "text", callee_id: "text", response: "text" }],
  ["LocalInvitationRefused", { call_id: "text", callee_id: "text", response: "text" }],
  ["LocalInvitationFailure", { call_id: "text", callee_id: "text", reason: LOCAL_FAILURES }],
  ["ChannelMessage", { channel_id: "text", message_id: "number", member_id: "text", message: "message", server_received_ts: "number" }],
  ["MemberJoined", { channel_id: "text", member_id: "text", member_count: "number" }],
  ["MemberLeft", { channel_id: "text", member_id: "text", member_count: "number" }],
  ["MemberCountUpdated", { channel_id: "text", member_count: "number" }],
  ["AttributesUpdated", { channel_id: "text", attributes: "attributes" }],
  ["Gap", { channel_id: "text?", lost: "number?" }],
];
// What is asked for: the operation's tag, how its fields are written, and how its answer is read.
const CALLS = {
  sendMessageToPeer: [1, ["number", "text", "message", "flag", "flag"], OUTCOMES],
  subscribePeersOnlineStatus: [3, ["texts"]],
  sendInvitation: [6, ["text", "text", "text"]],
  acceptInvitation: [8, ["text", "text", "text"]],
  refuseInvitation: [9, ["text", "text", "text"]],
  joinChannel: [15, ["text"]],
  leaveChannel: [16, ["text"]],
  sendChannelMessage: [17, ["number", "text", "message", "flag"]],
};

class Writer {
  bytes = [];
  raw(bytes) { for (const byte of bytes) this.bytes.push(byte); return this; }
  number(n) {
    if (n <= 250) return this.raw([n]);
    const [marker, size] = n <= 0xffff ? [251, 2] : n <= 0xffffffff ? [252, 4] : [253, 8];
    this.bytes.push(marker);
    let left = BigInt(n);
    for (let i = 0; i < size; i++, left >>= 8n) this.bytes.push(Number(left & 255n));
    return this;
  }
  flag(yes) { return this.raw([yes ? 1 : 0]); }
  text(text) { const bytes = new TextEncoder().encode(text); return this.number(bytes.length).raw(bytes); }
  message(text) { return this.raw([0]).text(text); }
  texts(all) { this.number(all.length); for (const one of all) this.text(one); return this; }
  optional(value, kind) { return value === null || value === undefined || value === "" ? this.raw([0]) : this.raw([1])[kind](value); }
}

class Reader {
  constructor(bytes) { this.bytes = bytes; this.at = 0; }
  get left() { return this.bytes.length - this.at; }
  take(count) {
    if (count > this.left) throw new RangeError("a packet is cut short");
    return this.bytes.subarray(this.at, (this.at += count));
  }
  byte() { return this.take(1)[0]; }
  number() {
    const first = this.byte();
    if (first <= 250) return first;
    const size = { 251: 2, 252: 4, 253: 8 }[first];
    if (!size) throw new RangeError("this is no number");
    const n = this.take(size).reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
    return n <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(n) : n;
  }
  flag() { return this.byte() === 1; }
  text() { return new TextDecoder("utf-8", { fatal: true }).decode(this.take(this.number())); }
  message() {
    const kind = this.byte();
    return kind === 0 ? this.text() : `(${this.take(this.number()).length} bytes)`;
  }
  list(read) {
    const count = this.number();
    if (count > 4096) throw new RangeError("a list is too long");
    return Array.from({ length: count }, read);
  }
  entry(read) { return read(new Reader(this.take(this.number()))); }
  peers() { return Object.fromEntries(this.list(() => this.entry((entry) => [entry.text(), STATES[entry.byte()]]))); }
  attributes() {
    const values = this.list(() => [this.text(), this.entry((entry) => entry.text())]);
    return { ...Object.fromEntries(values), revision: this.number() };
  }
  read(kind) {
    if (Array.isArray(kind)) return kind[this.byte()] ?? "?";
    if (kind.endsWith("?")) return this.flag() ? this.read(kind.slice(0, -1)) : null;
    return this[kind]();
  }
}

const packet = (frame) => new Uint8Array([1, ...new Writer().number(frame.bytes.length).bytes, ...frame.bytes]);

// One user on this wire. `tell(kind, name, data)` hears all that happens: "event", "call", "answer", "refused" or "state".
export class NativeUser {
  #options; #socket = null; #ticket = null; #received = 0; #answered = 0; #consumed = 0; #next = 1; #waiting = new Map(); #welcome = null; #timers = [];
  #instance = crypto.randomUUID(); #isOut = false; #messageId = Date.now() * 1000;

  constructor(options) { this.#options = options; }

  // Until the server has answered.
  login() {
    return new Promise((done, failed) => {
      this.#welcome = { done, failed };
      this.#open();
    });
  }

  #open() {
    const { url, appId, userId, token, tell } = this.#options;
    const socket = new WebSocket(url, "rtm.v1");
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      const login = new Writer().raw([0]).text(appId).optional(userId, "text").optional(token, "text").text(this.#instance);
      if (this.#ticket) login.raw([1]).raw(this.#ticket.session).number(this.#ticket.epoch).number(this.#received).number(this.#consumed).number(this.#answered);
      else login.raw([0]);
      this.#send(login.raw([0]).number(2000).number(1024).number(39));
    };
    socket.onmessage = ({ data }) => {
      try { this.#packet(new Uint8Array(data)); } catch (error) { tell("refused", "packet", { error: error.message }); socket.close(4900); }
    };
    socket.onclose = ({ code, reason }) => this.#closed(socket, code, reason);
  }

  #closed(socket, code, reason) {
    if (this.#socket !== socket) return;
    this.#socket = null;
    this.#timers.forEach(clearInterval);
    this.#timers = [];
    const { tell } = this.#options;
    if (this.#welcome) { this.#welcome.failed(new Error(reason || `the connection was closed with code ${code}`)); this.#welcome = null; this.#isOut ||= !this.#ticket; }
    if (this.#isOut) { tell("state", "DISCONNECTED", {}); this.#options.ended?.(); return; }
    tell("state", "RECONNECTING", { code });
    setTimeout(() => { if (!this.#isOut && !this.#socket) this.#open(); }, 1500);
  }

  #send(frame) { if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(packet(frame)); }
  #acknowledge() { this.#send(new Writer().raw([2]).number(this.#received).number(this.#consumed).number(this.#answered)); }

  #packet(bytes) {
    const reader = new Reader(bytes);
    if (reader.byte() !== 1) throw new RangeError("another version");
    while (reader.left) this.#frame(new Reader(reader.take(reader.number())));
  }

  #frame(frame) {
    const { tell } = this.#options;
    switch (frame.byte()) {
      case 0: {
        frame.text();
        if (frame.flag()) this.#ticket = { session: frame.take(16).slice(), epoch: frame.number() };
        const resumption = frame.read(RESUMPTIONS);
        if (resumption === "New") this.#received = this.#consumed = 0;
        tell("state", "CONNECTED", { session: resumption });
        this.#timers.push(setInterval(() => this.#send(new Writer().raw([3])), 2000));
        for (const { frame } of this.#waiting.values()) this.#send(frame);
        this.#welcome?.done();
        this.#welcome = null;
        break;
      }
      case 1: {
        const kind = ERRORS[frame.byte()] ?? "Failure", detail = frame.text();
        this.#isOut = true;
        this.#welcome?.failed(new Error(detail || kind));
        this.#welcome = null;
        tell("refused", "login", { kind, detail });
        break;
      }
      case 2: this.#reply(frame); break;
      case 3: {
        const seq = frame.number(), [name, fields] = EVENTS[frame.byte()] ?? ["Gap", {}];
        if (seq <= this.#received) break;
        this.#received = this.#consumed = seq;
        const data = Object.fromEntries(Object.entries(fields).map(([field, kind]) => [field, frame.read(kind)]));
        tell("event", name, data);
        this.#acknowledge();
        break;
      }
      case 4: this.#send(new Writer().raw([4])); break;
      case 6: {
        const reason = REASONS[frame.byte()] ?? "Internal";
        this.#isOut ||= STAY_AWAY.includes(reason);
        tell("state", "closed by the server", { reason });
        break;
      }
      default:
    }
  }

  #reply(frame) {
    const id = frame.number(), waiting = this.#waiting.get(id);
    if (!waiting) return;
    this.#waiting.delete(id);
    // All answers up to the first that is missing.
    this.#answered = this.#waiting.size ? Math.min(...this.#waiting.keys()) - 1 : this.#next - 1;
    if (frame.byte() === 1) {
      const kind = ERRORS[frame.byte()] ?? "Failure", detail = frame.text();
      this.#options.tell("refused", waiting.name, { kind, detail });
      return waiting.done(null);
    }
    frame.byte();
    const answer = waiting.answer ? frame.read(waiting.answer) : "ok";
    this.#options.tell("answer", waiting.name, { answer });
    waiting.done(answer);
  }

  #call(name, values, shown) {
    const [tag, kinds, answer] = CALLS[name], id = this.#next++;
    const frame = new Writer().raw([1]).number(id).raw([tag]);
    kinds.forEach((kind, place) => frame[kind](values[place]));
    this.#options.tell("call", name, shown);
    return new Promise((done) => {
      this.#waiting.set(id, { name, answer, done, frame });
      this.#send(frame);
    });
  }

  sendToPeer(peer_id, text) { return this.#call("sendMessageToPeer", [this.#messageId++, peer_id, text, true, false], { peer_id, text }); }
  sendToChannel(channel_id, text) { return this.#call("sendChannelMessage", [this.#messageId++, channel_id, text, false], { channel_id, text }); }
  join(channel_id) { return this.#call("joinChannel", [channel_id], { channel_id }); }
  leave(channel_id) { return this.#call("leaveChannel", [channel_id], { channel_id }); }
  watch(peer_id) { return this.#call("subscribePeersOnlineStatus", [[peer_id]], { peer_ids: [peer_id] }); }
  invite(callee_id, content) { const call_id = crypto.randomUUID(); return this.#call("sendInvitation", [call_id, callee_id, content], { call_id, callee_id, content }); }
  accept({ call_id, caller_id }) { return this.#call("acceptInvitation", [call_id, caller_id, ""], { call_id }); }
  refuse({ call_id, caller_id }) { return this.#call("refuseInvitation", [call_id, caller_id, ""], { call_id }); }
  // Loses its connection, as in a tunnel, and comes back.
  cut() { this.#socket?.close(4900); }
  logout() { this.#isOut = true; if (this.#socket) this.#send(new Writer().raw([5])); else this.#options.ended?.(); setTimeout(() => this.#socket?.close(), 1000); }
}
