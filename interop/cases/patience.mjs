// What takes its time: silence, absence, and invitations that nobody answers. These cases run beside all others.

export const patience = {
  async "B falls silent: A, in Rust, sees it unreachable, and online again when it speaks"(t) {
    const net = await t.network();
    const a = await t.login("rust"), b = await t.login("js", { via: net });
    await a.call("subscribe_peers_online_status", { peer_ids: [b.uid] });
    await a.expects({ type: "PeersOnlineStatusChanged", peers: { [b.uid]: "ONLINE" } });
    net.silence();
    await a.expects({ type: "PeersOnlineStatusChanged", peers: { [b.uid]: "UNREACHABLE" } }, 20_000);
    net.speak();
    await a.expects({ type: "PeersOnlineStatusChanged", peers: { [b.uid]: "ONLINE" } }, 20_000);
    a.never({ type: "PeersOnlineStatusChanged", peers: { [b.uid]: "OFFLINE" } });
  },
  async "B, in Rust, is away for over 30 s: it leaves A's channel, and comes back into it knowing that it missed something"(t) {
    const net = await t.network();
    const a = await t.login("js"), b = await t.login("rust", { via: net }), channel_id = t.channel();
    for (const one of [a, b]) await one.call("join_channel", { channel_id });
    await a.expects({ type: "MemberJoined", member_id: b.uid });
    await a.call("subscribe_peers_online_status", { peer_ids: [b.uid] });
    net.silence();
    await b.expects({ type: "ConnectionStateChanged", state: "RECONNECTING", reason: "INTERRUPTED" }, 30_000);
    await a.expects({ type: "PeersOnlineStatusChanged", peers: { [b.uid]: "OFFLINE" } }, 40_000);
    await a.expects({ type: "MemberLeft", member_id: b.uid });
    await a.call("send_channel_message", { channel_id, text: "missed" });
    net.speak();
    await a.expects({ type: "MemberJoined", member_id: b.uid }, 25_000);
    await b.expects({ type: "Gap" });
    await a.call("send_channel_message", { channel_id, text: "welcome back" });
    await b.expects({ type: "ChannelMessage", message: { text: "welcome back" } });
  },
  async "an invitation of Rust to a user who never comes fails after 30 s"(t) {
    const a = await t.login("rust");
    await a.call("send_invitation", { callee_id: t.uid("absent"), content: "?" });
    await a.expects({ type: "LocalInvitationFailure", reason: "PEER_OFFLINE" }, 35_000);
  },
  async "an invitation of Rust that the SDK's user does not answer expires on both sides after 60 s"(t) {
    const a = await t.login("rust"), b = await t.login("js");
    await a.call("send_invitation", { callee_id: b.uid, content: "?" });
    await a.expects({ type: "LocalInvitationReceivedByPeer" });
    await a.expects({ type: "LocalInvitationFailure", reason: "INVITATION_EXPIRE" }, 70_000);
    // The SDK counts 60 s too, from the arrival on; where its timer is the first, it tells the server's word as well.
    await b.expects({ type: "RemoteInvitationFailure", reason: "INVITATION_EXPIRE" });
  },
  async "an invitation of the SDK that Rust does not answer expires after 60 s"(t) {
    const a = await t.login("js"), b = await t.login("rust");
    await a.call("send_invitation", { callee_id: b.uid, content: "?" });
    const { invitation } = await b.expects({ type: "RemoteInvitationReceived" });
    await b.expects({ type: "RemoteInvitationFailure", invitation: { call_id: invitation.call_id }, reason: "INVITATION_EXPIRE" }, 70_000);
  },
};
