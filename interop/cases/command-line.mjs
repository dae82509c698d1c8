// `rtm listen` and `rtm send`, as scripts use them, with users of the SDK.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { Peer } from "../peers/peer.mjs";
import { run } from "../server.mjs";

const gateway = (t) => ["--gateway", `http://${t.host}:${t.port}`, "--app-id", t.appId, "--wire", t.wire];

function listen(t, uid, args) {
  const child = spawn(t.rtm, ["listen", ...gateway(t), "--uid", uid, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  const peer = new Peer("rtm listen", uid);
  createInterface({ input: child.stdout }).on("line", (line) => peer.happened(JSON.parse(line)));
  const ended = once(child, "exit");
  peer.end = async () => {
    child.kill("SIGINT");
    return (await ended)[0];
  };
  return peer;
}

export const commandLine = {
  async "rtm listen prints what the SDK does, and ends well on SIGINT"(t) {
    const js = await t.login("js"), watched = t.uid("watched"), room = t.channel();
    const listener = listen(t, t.uid("listener"), ["--subscribe", watched, "--accept-invitations", "--channel", room]);
    try {
      await listener.expects({ type: "ConnectionStateChanged", state: "CONNECTED", reason: "LOGIN_SUCCESS" });
      await listener.expects({ type: "PeersOnlineStatusChanged", peers: { [watched]: "OFFLINE" } });
      await t.login("js", { uid: watched });
      await listener.expects({ type: "PeersOnlineStatusChanged", peers: { [watched]: "ONLINE" } });

      assert.deepEqual(await js.call("send_message_to_peer", { peer_id: listener.uid, text: "hi" }), { has_peer_received: true });
      const message = await listener.expects({ type: "MessageFromPeer" });
      assert.ok(Math.abs(Date.parse(message.ts) - Date.now()) < 60_000);
      assert.deepEqual(message, {
        type: "MessageFromPeer", ts: message.ts, peer_id: js.uid, message: { text: "hi" },
        properties: { is_offline_message: false, server_received_ts: message.properties.server_received_ts },
      });

      const { call_id } = await js.call("send_invitation", { callee_id: listener.uid, content: "call?" });
      await js.expects({ type: "LocalInvitationAccepted", invitation: { call_id } });
      await listener.expects({ type: "RemoteInvitationReceived", invitation: { caller_id: js.uid, content: "call?" } });
      await listener.expects({ type: "RemoteInvitationAccepted" });

      await js.call("join_channel", { channel_id: room });
      await listener.expects({ type: "MemberJoined", channel_id: room, member_id: js.uid });
      await js.call("send_channel_message", { channel_id: room, text: "to all" });
      await listener.expects({ type: "ChannelMessage", channel_id: room, member_id: js.uid, message: { text: "to all" } });
    } finally {
      assert.equal(await listener.end(), 0);
    }
    await listener.expects({ type: "ConnectionStateChanged", state: "DISCONNECTED", reason: "LOGOUT" });
    await js.expects({ type: "MemberLeft", channel_id: room, member_id: listener.uid });
  },
  async "rtm send reaches a user of the SDK and says whether it did"(t) {
    const js = await t.login("js"), uid = t.uid("sender"), room = t.channel();
    const send = (...args) => run(t.rtm, ["send", ...gateway(t), "--uid", uid, ...args]);
    assert.deepEqual(await send("--to", js.uid, "from the command line"), { code: 0, stdout: '{"has_peer_received":true,"outcome":"delivered"}\n', stderr: "" });
    await js.expects({ type: "MessageFromPeer", peer_id: uid, message: { text: "from the command line" } });
    assert.deepEqual(await send("--to", t.uid("absent"), "anyone?"), { code: 0, stdout: '{"has_peer_received":false,"outcome":"not_received"}\n', stderr: "" });
    await js.call("join_channel", { channel_id: room });
    assert.equal((await send("--channel", room, "to the room")).code, 0);
    await js.expects({ type: "ChannelMessage", channel_id: room, member_id: uid, message: { text: "to the room" } });
  },
  async "rtm listen and rtm send say why a login is refused, with exit status 1"(t) {
    const strange = ["--gateway", `http://${t.host}:${t.port}`, "--app-id", "f".repeat(32), "--wire", t.wire, "--uid", t.uid("stranger")];
    for (const args of [["listen", ...strange], ["send", ...strange, "--to", "bob", "hi"]]) {
      const { code, stderr } = await run(t.rtm, args);
      assert.equal(code, 1);
      assert.match(stderr, /App ID/);
    }
  },
};
