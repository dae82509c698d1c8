//! The calls, as they are written in JSON, and what they do.

use std::collections::BTreeMap;

use anyhow::Result;
use rtm_client::{
    ChannelAttributeOptions, Client, HistoryCursor, HistoryQuery, LocalInvitation, PeerOnlineState, RemoteInvitation,
    Revision, RtmMessage, SendChannelMessageOptions, SendMessageOptions, SendOutcome, Text,
};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Call {
    Login {
        uid: String,
        token: Option<String>,
    },
    Logout {},
    RenewToken {
        token: String,
    },

    SendMessageToPeer(PeerMessage),
    /// The same, with the outcome as a word.
    SendOutcome(PeerMessage),
    QueryHistory {
        peer_id: Option<String>,
        channel_id: Option<String>,
        limit: u32,
        after: Option<String>,
    },

    QueryPeersOnlineStatus {
        peer_ids: Vec<String>,
    },
    SubscribePeersOnlineStatus {
        peer_ids: Vec<String>,
    },
    UnsubscribePeersOnlineStatus {
        peer_ids: Vec<String>,
    },
    QueryPeersBySubscriptionOption {},

    SendInvitation {
        callee_id: String,
        content: Option<String>,
    },
    CancelInvitation {
        call_id: String,
        callee_id: String,
        content: Option<String>,
    },
    AcceptInvitation(Answered),
    RefuseInvitation(Answered),

    JoinChannel {
        channel_id: String,
    },
    LeaveChannel {
        channel_id: String,
    },
    SendChannelMessage {
        channel_id: String,
        #[serde(flatten)]
        content: Content,
        #[serde(default)]
        history: bool,
    },
    SendChannelValue {
        channel_id: String,
        value: Value,
    },
    Members {
        channel_id: String,
    },
    ChannelMemberCount {
        channel_ids: Vec<String>,
    },

    SetLocalUserAttributes {
        attributes: BTreeMap<String, String>,
    },
    AddOrUpdateLocalUserAttributes {
        attributes: BTreeMap<String, String>,
    },
    DeleteLocalUserAttributesByKeys {
        keys: Vec<String>,
    },
    ClearLocalUserAttributes {},
    GetUserAttributes {
        user_id: String,
    },
    GetUserAttributesByKeys {
        user_id: String,
        keys: Vec<String>,
    },

    SetChannelAttributes {
        channel_id: String,
        attributes: BTreeMap<String, String>,
        #[serde(flatten)]
        write: Write,
    },
    AddOrUpdateChannelAttributes {
        channel_id: String,
        attributes: BTreeMap<String, String>,
        #[serde(flatten)]
        write: Write,
    },
    DeleteChannelAttributesByKeys {
        channel_id: String,
        keys: Vec<String>,
        #[serde(flatten)]
        write: Write,
    },
    ClearChannelAttributes {
        channel_id: String,
        #[serde(flatten)]
        write: Write,
    },
    GetChannelAttributes {
        channel_id: String,
    },
    GetChannelAttributesByKeys {
        channel_id: String,
        keys: Vec<String>,
    },
}

#[derive(Debug, Deserialize)]
pub(crate) struct PeerMessage {
    peer_id: String,
    #[serde(flatten)]
    content: Content,
    #[serde(default)]
    offline: bool,
    #[serde(default)]
    history: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Content {
    Text(String),
    Bytes(Vec<u8>),
}

#[derive(Debug, Deserialize)]
pub(crate) struct Answered {
    call_id: String,
    caller_id: String,
    content: String,
    #[serde(default)]
    response: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Write {
    #[serde(default)]
    notify: bool,
    expected_revision: Option<u64>,
}

impl Call {
    /// Makes the call and gives its answer as the cases of the interop runner expect it.
    pub(crate) async fn make(self, client: &Client) -> Result<Value> {
        Ok(match self {
            Self::Login { uid, token } => {
                client.login(&uid, token.as_deref()).await?;
                json!({ "uid": client.user_id() })
            }
            Self::Logout {} => json!(client.logout().await?),
            Self::RenewToken { token } => json!(client.renew_token(&token).await?),

            Self::SendMessageToPeer(message) => {
                json!({ "has_peer_received": message.send(client).await?.has_peer_received() })
            }
            Self::SendOutcome(message) => json!(message.send(client).await?),
            Self::QueryHistory { peer_id, channel_id, limit, after } => {
                let mut query = HistoryQuery::new().limit(limit);
                if let Some(cursor) = after {
                    query = query.after(HistoryCursor(cursor.parse()?));
                }
                let page = match channel_id {
                    Some(channel_id) => client.query_channel_history(channel_id, query).await?,
                    None => client.query_peer_history(peer_id.unwrap_or_default(), query).await?,
                };
                json!({ "messages": page.messages, "next": page.next.map(|cursor| cursor.0.to_string()) })
            }

            Self::QueryPeersOnlineStatus { peer_ids } => {
                let states = client.query_peers_online_status(peer_ids).await?;
                let online = |state| state != PeerOnlineState::Offline;
                json!(states.into_iter().map(|(peer, state)| (peer, online(state))).collect::<BTreeMap<_, _>>())
            }
            Self::SubscribePeersOnlineStatus { peer_ids } => {
                json!(client.subscribe_peers_online_status(peer_ids).await?)
            }
            Self::UnsubscribePeersOnlineStatus { peer_ids } => {
                json!(client.unsubscribe_peers_online_status(peer_ids).await?)
            }
            Self::QueryPeersBySubscriptionOption {} => json!(client.subscribed_peers().await?),

            Self::SendInvitation { callee_id, content } => {
                json!(client.send_invitation(callee_id, content.unwrap_or_default()).await?)
            }
            Self::CancelInvitation { call_id, callee_id, content } => {
                let content = content.unwrap_or_default();
                let invitation = LocalInvitation::new(call_id.parse()?, callee_id.parse()?, Text::default());
                json!(client.cancel_invitation(&invitation, content).await?)
            }
            Self::AcceptInvitation(answer) => {
                json!(client.accept_invitation(&answer.invitation()?, answer.response.as_str()).await?)
            }
            Self::RefuseInvitation(answer) => {
                json!(client.refuse_invitation(&answer.invitation()?, answer.response.as_str()).await?)
            }

            Self::JoinChannel { channel_id } => json!(client.channel(channel_id)?.join().await?),
            Self::LeaveChannel { channel_id } => json!(client.channel(channel_id)?.leave().await?),
            Self::SendChannelMessage { channel_id, content, history } => {
                let options = SendChannelMessageOptions::new().enable_historical_messaging(history);
                json!(client.channel(channel_id)?.send_message_with(content, options).await?)
            }
            Self::SendChannelValue { channel_id, value } => {
                json!(client.channel(channel_id)?.typed().send(&value).await?)
            }
            Self::Members { channel_id } => json!(client.channel(channel_id)?.members().await?),
            Self::ChannelMemberCount { channel_ids } => json!(client.channel_member_count(channel_ids).await?),

            Self::SetLocalUserAttributes { attributes } => json!(client.set_local_user_attributes(attributes).await?),
            Self::AddOrUpdateLocalUserAttributes { attributes } => {
                json!(client.add_or_update_local_user_attributes(attributes).await?)
            }
            Self::DeleteLocalUserAttributesByKeys { keys } => {
                json!(client.delete_local_user_attributes_by_keys(keys).await?)
            }
            Self::ClearLocalUserAttributes {} => json!(client.clear_local_user_attributes().await?),
            Self::GetUserAttributes { user_id } => json!(client.user_attributes(user_id).await?),
            Self::GetUserAttributesByKeys { user_id, keys } => {
                json!(client.user_attributes_by_keys(user_id, keys).await?)
            }

            Self::SetChannelAttributes { channel_id, attributes, write } => {
                json!(client.set_channel_attributes(channel_id, attributes, write.into()).await?)
            }
            Self::AddOrUpdateChannelAttributes { channel_id, attributes, write } => {
                json!(client.add_or_update_channel_attributes(channel_id, attributes, write.into()).await?)
            }
            Self::DeleteChannelAttributesByKeys { channel_id, keys, write } => {
                json!(client.delete_channel_attributes_by_keys(channel_id, keys, write.into()).await?)
            }
            Self::ClearChannelAttributes { channel_id, write } => {
                json!(client.clear_channel_attributes(channel_id, write.into()).await?)
            }
            Self::GetChannelAttributes { channel_id } => json!(client.channel_attributes(channel_id).await?),
            Self::GetChannelAttributesByKeys { channel_id, keys } => {
                json!(client.channel_attributes_by_keys(channel_id, keys).await?)
            }
        })
    }
}

impl PeerMessage {
    async fn send(self, client: &Client) -> Result<SendOutcome> {
        let options =
            SendMessageOptions::new().enable_offline_messaging(self.offline).enable_historical_messaging(self.history);
        Ok(client.send_message_to_peer_with(self.peer_id, self.content, options).await?)
    }
}

impl Answered {
    fn invitation(&self) -> Result<RemoteInvitation> {
        Ok(RemoteInvitation::new(self.call_id.parse()?, self.caller_id.parse()?, Text::from(self.content.as_str())))
    }
}

impl From<Content> for RtmMessage {
    fn from(content: Content) -> Self {
        match content {
            Content::Text(text) => Self::text(text),
            Content::Bytes(bytes) => Self::binary(bytes),
        }
    }
}

impl From<Write> for ChannelAttributeOptions {
    fn from(write: Write) -> Self {
        let options = Self::new().enable_notification_to_channel_members(write.notify);
        match write.expected_revision {
            Some(revision) => options.expected_revision(Revision(revision)),
            None => options,
        }
    }
}
