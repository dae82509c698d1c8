// One user of the vendor's SDK behind the calls and events that the Rust peer has too, so that a case
// can be written once for both. Runs in Node and in a browser page: it knows only the SDK.

export class Agent {
  #client;
  #emit;
  #channels = new Map();
  #invitations = new Map();
  #serial = 0;

  constructor({ ArRTM, appId, host, port, tls = false }, emit) {
    this.#emit = emit;
    const address = { confPriCloudAddr: { ServerAdd: host, Port: port, Wss: tls } };
    this.#client = ArRTM.createInstance(appId, { logFilter: ArRTM.LOG_FILTER_OFF, ...address });
    this.#listen(this.#client, {
      ConnectionStateChanged: (state, reason) => ({ state, reason }),
      MessageFromPeer: (message, peer_id, properties) => ({
        peer_id, message: { text: message.text }, properties: received(properties),
      }),
      PeersOnlineStatusChanged: (peers) => ({ peers }),
      RemoteInvitationReceived: (invitation) => ({ invitation: this.#remote(invitation) }),
      TokenWillExpired: () => ({}),
      TokenDidExpired: () => ({}),
    });
  }

  // Answers as the Rust peer does; rejects with { code, message }.
  async call(name, args) {
    const call = this.#calls[name];
    if (!call) throw { message: `the SDK has no ${name}` };
    try {
      return (await call(args)) ?? null;
    } catch (error) {
      throw typeof error === "number" ? { code: error, message: "" } : { code: error?.code, message: String(error?.message ?? error) };
    }
  }

  #calls = {
    login: async ({ uid, token }) => {
      await this.#client.login({ uid, token });
      return { uid: this.#client.uid };
    },
    logout: async () => {
      await this.#client.logout();
      this.#channels.clear();
    },
    renew_token: ({ token }) => this.#client.renewToken(token),
    send_message_to_peer: async ({ peer_id, text, offline, history }) => {
      const options = { enableOfflineMessaging: offline ?? false, enableHistoricalMessaging: history ?? false };
      return { has_peer_received: (await this.#client.sendMessageToPeer({ text }, peer_id, options)).hasPeerReceived };
    },
    query_peers_online_status: ({ peer_ids }) => this.#client.queryPeersOnlineStatus(peer_ids),
    subscribe_peers_online_status: ({ peer_ids }) => this.#client.subscribePeersOnlineStatus(peer_ids),
    unsubscribe_peers_online_status: ({ peer_ids }) => this.#client.unsubscribePeersOnlineStatus(peer_ids),
    query_peers_by_subscription_option: () => this.#client.queryPeersBySubscriptionOption("ONLINE_STATUS"),

    send_invitation: ({ callee_id, content }) => {
      const invitation = this.#client.createLocalInvitation(callee_id);
      if (content !== undefined) invitation.content = content;
      const local = () => ({ call_id, callee_id, content: invitation.content });
      const call_id = this.#keep(invitation);
      this.#listen(invitation, {
        LocalInvitationReceivedByPeer: () => ({ invitation: local() }),
        LocalInvitationAccepted: (response) => ({ invitation: local(), response }),
        LocalInvitationRefused: (response) => ({ invitation: local(), response }),
        LocalInvitationCanceled: () => ({ invitation: local() }),
        LocalInvitationFailure: (reason) => ({ invitation: local(), reason }),
      });
      invitation.send();
      return local();
    },
    cancel_invitation: ({ call_id, content }) => {
      const invitation = this.#invitations.get(call_id);
      if (content !== undefined) invitation.content = content;
      invitation.cancel();
    },
    accept_invitation: ({ call_id, response }) => {
      const invitation = this.#invitations.get(call_id);
      invitation.response = response ?? "";
      invitation.accept();
    },
    refuse_invitation: ({ call_id, response }) => {
      const invitation = this.#invitations.get(call_id);
      invitation.response = response ?? "";
      invitation.refuse();
    },

    join_channel: ({ channel_id }) => this.#channel(channel_id).join(),
    leave_channel: ({ channel_id }) => this.#channel(channel_id).leave(),
    send_channel_message: ({ channel_id, text, history }) =>
      this.#channel(channel_id).sendMessage({ text }, { enableHistoricalMessaging: history ?? false }),
    members: ({ channel_id }) => this.#channel(channel_id).getMembers(),
    channel_member_count: ({ channel_ids }) => this.#client.getChannelMemberCount(channel_ids),

    set_local_user_attributes: ({ attributes }) => this.#client.setLocalUserAttributes(attributes),
    add_or_update_local_user_attributes: ({ attributes }) => this.#client.addOrUpdateLocalUserAttributes(attributes),
    delete_local_user_attributes_by_keys: ({ keys }) => this.#client.deleteLocalUserAttributesByKeys(keys),
    clear_local_user_attributes: () => this.#client.clearLocalUserAttributes(),
    get_user_attributes: ({ user_id }) => this.#client.getUserAttributes(user_id),
    get_user_attributes_by_keys: ({ user_id, keys }) => this.#client.getUserAttributesByKeys(user_id, keys),

    set_channel_attributes: ({ channel_id, attributes, notify }) =>
      this.#client.setChannelAttributes(channel_id, attributes, notification(notify)),
    add_or_update_channel_attributes: ({ channel_id, attributes, notify }) =>
      this.#client.addOrUpdateChannelAttributes(channel_id, attributes, notification(notify)),
    delete_channel_attributes_by_keys: ({ channel_id, keys, notify }) =>
      this.#client.deleteChannelAttributesByKeys(channel_id, keys, notification(notify)),
    clear_channel_attributes: ({ channel_id, notify }) =>
      this.#client.clearChannelAttributes(channel_id, notification(notify)),
    get_channel_attributes: async ({ channel_id }) => entries(await this.#client.getChannelAttributes(channel_id)),
    get_channel_attributes_by_keys: async ({ channel_id, keys }) =>
      entries(await this.#client.getChannelAttributesByKeys(channel_id, keys)),
  };

  #channel(channel_id) {
    let channel = this.#channels.get(channel_id);
    if (!channel) {
      channel = this.#client.createChannel(channel_id);
      this.#channels.set(channel_id, channel);
      this.#listen(channel, {
        ChannelMessage: (message, member_id, properties) => ({
          channel_id, member_id, message: { text: message.text }, properties: received(properties),
        }),
        MemberJoined: (member_id) => ({ channel_id, member_id }),
        MemberLeft: (member_id) => ({ channel_id, member_id }),
        MemberCountUpdated: (member_count) => ({ channel_id, member_count }),
        AttributesUpdated: (attributes) => ({ channel_id, attributes: entries(attributes) }),
      });
    }
    return channel;
  }

  #remote(invitation) {
    const call_id = this.#keep(invitation);
    const remote = () => ({ call_id, caller_id: invitation.callerId, content: invitation.content });
    this.#listen(invitation, {
      RemoteInvitationAccepted: () => ({ invitation: remote() }),
      RemoteInvitationRefused: () => ({ invitation: remote() }),
      RemoteInvitationCanceled: (content) => ({ invitation: remote(), content }),
      RemoteInvitationFailure: (reason) => ({ invitation: remote(), reason }),
    });
    return remote();
  }

  #keep(invitation) {
    const call_id = `call-${++this.#serial}`;
    this.#invitations.set(call_id, invitation);
    return call_id;
  }

  #listen(emitter, shapes) {
    for (const [name, shape] of Object.entries(shapes)) {
      // The SDK's "TokenWillExpired" is TokenWillExpire in Rust.
      const type = name.replace(/Expired$/, "Expire");
      emitter.on(name, (...args) => this.#emit({ type, ...shape(...args) }));
    }
  }
}

const received = ({ isOfflineMessage, serverReceivedTs }) =>
  ({ is_offline_message: isOfflineMessage, server_received_ts: serverReceivedTs });
const notification = (notify) => ({ enableNotificationToChannelMembers: notify ?? false });
const entries = (attributes) => ({
  attributes: Object.fromEntries(Object.entries(attributes).map(([key, one]) =>
    [key, { value: one.value, last_update_user_id: one.lastUpdateUserId, last_update_ts: one.lastUpdateTs }])),
});
