// Call invitations from A to B, with every end that comes within a second.
import assert from "node:assert/strict";

const ring = async (a, b, content) => {
  const local = await a.call("send_invitation", { callee_id: b.uid, content });
  const { invitation: remote } = await b.expects({ type: "RemoteInvitationReceived" });
  assert.deepEqual([remote.caller_id, remote.content], [a.uid, content]);
  await a.expects({ type: "LocalInvitationReceivedByPeer", invitation: { call_id: local.call_id, callee_id: b.uid } });
  return { local, remote };
};

export const invitations = {
  async "B accepts A's invitation"(t) {
    const [a, b] = await t.pair();
    const { local, remote } = await ring(a, b, "video? 视频");
    await b.call("accept_invitation", { ...remote, response: "with pleasure" });
    await b.expects({ type: "RemoteInvitationAccepted", invitation: { call_id: remote.call_id } });
    await a.expects({ type: "LocalInvitationAccepted", invitation: { call_id: local.call_id }, response: "with pleasure" });
  },
  async "B refuses A's invitation"(t) {
    const [a, b] = await t.pair();
    const { local, remote } = await ring(a, b, "now?");
    await b.call("refuse_invitation", { ...remote, response: "busy" });
    await b.expects({ type: "RemoteInvitationRefused", invitation: { call_id: remote.call_id } });
    await a.expects({ type: "LocalInvitationRefused", invitation: { call_id: local.call_id }, response: "busy" });
  },
  async "A takes its invitation back"(t) {
    const [a, b] = await t.pair();
    const { local, remote } = await ring(a, b, "later?");
    await a.call("cancel_invitation", { ...local, content: "never mind" });
    await b.expects({ type: "RemoteInvitationCanceled", invitation: { call_id: remote.call_id }, content: "never mind" });
    await a.expects({ type: "LocalInvitationCanceled", invitation: { call_id: local.call_id } });
  },
  async "A leaves while its invitation rings"(t) {
    const [a, b] = await t.pair();
    const { remote } = await ring(a, b, "hello?");
    await a.call("logout");
    await b.expects({ type: "RemoteInvitationFailure", invitation: { call_id: remote.call_id }, reason: "PEER_OFFLINE" });
  },
  async "B leaves while A's invitation rings"(t) {
    const [a, b] = await t.pair();
    const { local } = await ring(a, b, "hello?");
    await b.call("logout");
    await a.expects({ type: "LocalInvitationFailure", invitation: { call_id: local.call_id }, reason: "PEER_OFFLINE" });
  },
  async "an invitation of A reaches B that logs in a little later"(t) {
    const a = await t.login("a"), uid = t.uid("later");
    const local = await a.call("send_invitation", { callee_id: uid, content: "there?" });
    await t.sleep(300);
    const b = await t.login("b", { uid });
    const { invitation } = await b.expects({ type: "RemoteInvitationReceived", invitation: { caller_id: a.uid, content: "there?" } });
    await b.call("accept_invitation", { ...invitation, response: "just in" });
    await a.expects({ type: "LocalInvitationAccepted", invitation: { call_id: local.call_id }, response: "just in" });
  },
  async "two invitations between A and B are told apart"(t) {
    const [a, b] = await t.pair();
    const one = await ring(a, b, "one"), two = await ring(a, b, "two");
    await b.call("refuse_invitation", { ...one.remote, response: "not one" });
    await b.call("accept_invitation", { ...two.remote, response: "but two" });
    await a.expects({ type: "LocalInvitationRefused", invitation: { call_id: one.local.call_id }, response: "not one" });
    await a.expects({ type: "LocalInvitationAccepted", invitation: { call_id: two.local.call_id }, response: "but two" });
  },
};
