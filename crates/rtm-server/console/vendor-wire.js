// A small client of the vendor's wire, as its SDK speaks it: JSON in JSON, and a gateway that is asked first.

const CALL_STATES = { 2: "LocalInvitationReceivedByPeer", 3: "LocalInvitationFailure (PEER_OFFLINE)", 4: "LocalInvitationFailure (PEER_NO_RESPONSE)" };
const CODES = { 3: "bad parameters", 4: "this App ID is not served", 5: "the token is not valid", 6: "the token has expired", 13: "refused", 14: "the user is banned", 109: "the token has expired", 110: "the token is not valid" };

// One user on this wire, with the same calls as on the native one.
export class VendorUser {
  #options; #socket = null; #timers = []; #login = null; #isOut = false; #waiting = new Map(); #clientId = crypto.randomUUID(); #channels = new Set();

  constructor(options) { this.#options = options; }

  login() {
    return new Promise((done, failed) => {
      this.#login = { done, failed };
      this.#open();
    });
  }

  async #open() {
    const { url, appId: appid, userId: uid, token = "", tell } = this.#options;
    const wss = url.startsWith("wss");
    try {
      const answer = await fetch(`${url.replace(/^ws/, "http")}/arapi/v1?action=wrtm_gateway`, { method: "POST", body: JSON.stringify({ appid, uid, token: token ?? "", wss }) });
      const { code, sessionid } = answer.ok ? await answer.json() : { code: answer.status };
      if (code !== 0) throw Object.assign(new Error(CODES[code] ?? `the gateway answers with code ${code}`), { isFinal: answer.ok });
      if (this.#isOut) return;
      const socket = new WebSocket(url);
      this.#socket = socket;
      socket.onopen = () => this.#send("Login", { UserId: uid, UserSId: this.#clientId, AcsToken: token ?? "", SdkVer: "rtm-console", SessionId: sessionid }, { AppId: appid });
      socket.onmessage = ({ data }) => {
        try { const { Cmd, Content } = JSON.parse(data); this.#take(Cmd, JSON.parse(Content || "{}")); } catch (error) { tell("refused", "packet", { error: error.message }); }
      };
      socket.onclose = ({ code }) => this.#closed(socket, code);
    } catch (error) {
      if (this.#login) { this.#login.failed(error); this.#login = null; this.#isOut = true; return; }
      this.#again({ error: error.message });
    }
  }

  #closed(socket, code) {
    if (this.#socket !== socket) return;
    this.#socket = null;
    this.#timers.forEach(clearInterval);
    this.#timers = [];
    if (this.#login) { this.#login.failed(new Error(`the connection was closed with code ${code}`)); this.#login = null; this.#isOut = true; }
    // The vendor's SDK takes these codes for the end.
    if (this.#isOut || code === 1000 || code === 1005) { this.#isOut = true; this.#options.tell("state", "DISCONNECTED", {}); this.#options.ended?.(); return; }
    this.#again({ code });
  }

  #again(why) {
    this.#options.tell("state", "RECONNECTING", why);
    setTimeout(() => { if (!this.#isOut && !this.#socket) this.#open(); }, 2000);
  }

  #send(Cmd, content, more = {}) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify({ Cmd, Encrypt: false, Content: content ? JSON.stringify(content) : "", ...more }));
  }

  #take(Cmd, content) {
    const { tell } = this.#options;
    if (Cmd === "Login") {
      if (content.Code !== 0) {
        this.#isOut = true;
        this.#login?.failed(new Error(CODES[content.Code] ?? `code ${content.Code}`));
        this.#login = null;
        return tell("refused", "login", content);
      }
      tell("state", "CONNECTED", {});
      const alive = () => this.#send("KeepAlive", { time: String(Date.now()) });
      alive();
      this.#timers.push(setInterval(alive, 10_000));
      // As the SDK does when it comes back.
      for (const ChanId of this.#channels) this.#send("JoinChannel", { ChanId });
      this.#login?.done();
      this.#login = null;
      return;
    }
    if (Cmd === "KeepAlive" || Cmd === "Logout") return;
    if (Cmd === "ReqKeepAlive") return this.#send("KeepAlive", { time: String(Date.now()) });
    const waiting = this.#waiting.get(content.MsgId ?? content.CallId ?? `${Cmd} ${content.ChanId}`);
    if (waiting && waiting.answers.includes(Cmd)) {
      this.#waiting.delete(waiting.key);
      const answer = "Status" in content && Cmd === "MsgStatus" ? (content.Status ? "Delivered" : "NotReceived") : content.Code ? `code ${content.Code}` : "ok";
      tell(content.Code ? "refused" : "answer", waiting.name, { answer });
      waiting.done(answer);
      if (Cmd !== "CallStatus" || content.Status <= 1) return;
    }
    switch (Cmd) {
      case "RecvMsgFromPeer":
        tell("event", "MessageFromPeer", { peer_id: content.FromUId, message: content.MsgBody, server_received_ts: content.SvrTS });
        return this.#send("RecvMsgFromPeerAck", { MsgId: content.MsgId, FromUId: content.FromUId });
      case "RecvMsgFromChan": return tell("event", "ChannelMessage", { channel_id: content.ChanId, member_id: content.FromUId, message: content.MsgBody, server_received_ts: content.SvrTS });
      case "ChanMemberJoin": return tell("event", "MemberJoined", { channel_id: content.ChanId, member_id: content.UserId, member_count: content.ChanMemSize });
      case "ChanMemberLeave": return tell("event", "MemberLeft", { channel_id: content.ChanId, member_id: content.UserId, member_count: content.ChanMemSize });
      case "MemSizeChanged": return tell("event", "MemberCountUpdated", { channel_id: content.ChanId, member_count: content.MemSize });
      case "ChanAttribChanged": return tell("event", "AttributesUpdated", { channel_id: content.ChanId, attributes: Object.fromEntries(content.Attributes.map((one) => [one.Key, one.Val])) });
      case "PeerOnlineStatus": return tell("event", "PeersOnlineStatusChanged", { peers: Object.fromEntries(content.Status.map((one) => [one.UserId, one.Online ? "Online" : "Offline"])) });
      case "MakeCall": return tell("event", "RemoteInvitationReceived", { call_id: content.CallId, caller_id: content.FromUId, content: content.Content });
      case "CancelCall": return tell("event", "RemoteInvitationCanceled", { call_id: content.CallId, caller_id: content.FromUId, reason: content.Reason });
      case "AcceptCall": return tell("event", "LocalInvitationAccepted", { call_id: content.CallId, response: content.Response });
      case "RejectCall": return tell("event", "LocalInvitationRefused", { call_id: content.CallId, response: content.Response });
      case "CallStatus": return CALL_STATES[content.Status] && tell("event", CALL_STATES[content.Status], { call_id: content.CallId });
      case "AcceptCallAck": return tell("event", "RemoteInvitationAccepted", { call_id: content.CallId });
      case "ForceOffline": this.#isOut = true; return tell("state", "DISCONNECTED", { reason: "REMOTE_LOGIN" });
      case "AcsTokenWillExpire": return tell("event", "TokenWillExpired", {});
      case "AcsTokenDidExpire": this.#isOut = true; return tell("event", "TokenDidExpired", {});
      default: return undefined;
    }
  }

  #call(name, Cmd, key, content, shown, answers = [Cmd]) {
    this.#options.tell("call", name, shown);
    return new Promise((done) => {
      this.#waiting.set(key, { key, name, done, answers });
      this.#send(Cmd, content);
    });
  }
  #number() { return 1_000_000_000_000 + Math.floor(Math.random() * 8_999_999_999_999); }

  sendToPeer(ToUId, text) {
    const MsgId = this.#number();
    return this.#call("sendMessageToPeer", "SendMsgToPeer", MsgId, { MsgId, FromUId: this.#options.userId, ToUId, MsgType: 1, MsgBody: text, OfflineMsg: true, HistoryMsg: false, Desc: "" }, { peer_id: ToUId, text }, ["MsgStatus"]);
  }
  sendToChannel(ChanId, text) {
    const MsgId = this.#number();
    return this.#call("sendMessage", "SendChannelMsg", MsgId, { ChanId, FromUId: this.#options.userId, MsgId, MsgType: 1, MsgBody: text, HistoryMsg: false, Desc: "" }, { channel_id: ChanId, text });
  }
  join(ChanId) { this.#channels.add(ChanId); return this.#call("join", "JoinChannel", `JoinChannel ${ChanId}`, { ChanId }, { channel_id: ChanId }); }
  leave(ChanId) { this.#channels.delete(ChanId); return this.#call("leave", "LeaveChannel", `LeaveChannel ${ChanId}`, { ChanId }, { channel_id: ChanId }); }
  watch(peer) { const MsgId = this.#number(); return this.#call("subscribePeersOnlineStatus", "SubscribeOnlineStatus", MsgId, { MsgId, UserIds: JSON.stringify([peer]) }, { peer_ids: [peer] }); }
  invite(ToUId, content) {
    const CallId = String(this.#number());
    return this.#call("sendInvitation", "MakeCall", CallId, { CallId, FromUId: this.#options.userId, ToUId, Content: content }, { call_id: CallId, callee_id: ToUId, content }, ["CallStatus"]);
  }
  accept({ call_id, caller_id }) { this.#options.tell("call", "acceptInvitation", { call_id }); this.#send("AcceptCall", { CallId: call_id, FromUId: this.#options.userId, ToUId: caller_id, Response: "" }); }
  refuse({ call_id, caller_id }) { this.#options.tell("call", "refuseInvitation", { call_id }); this.#send("RejectCall", { CallId: call_id, FromUId: this.#options.userId, ToUId: caller_id, Response: "" }); }
  cut() { this.#socket?.close(4900); }
  logout() { this.#isOut = true; if (this.#socket) this.#send("Logout", null); else this.#options.ended?.(); setTimeout(() => this.#socket?.close(), 1000); }
}
