//! What a frame says, as JSON with the fields in the order of the wire: the third column of the vectors.

use std::{collections::BTreeMap, fmt};

use bytes::Bytes;
use rtm_codec::*;

/// A value of the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// A number, a boolean, a text or null, as JSON.
    Plain(String),
    List(Vec<Self>),
    Fields(Vec<(String, Self)>),
}

/// What has a meaning.
pub(crate) trait Tell {
    fn tell(&self) -> Meaning;
}

impl Meaning {
    /// The names of the fields, in order; none of anything else.
    pub(crate) fn names(&self) -> Vec<&str> {
        match self {
            Self::Fields(fields) => fields.iter().map(|(name, _)| name.as_str()).collect(),
            Self::Plain(_) | Self::List(_) => Vec::new(),
        }
    }

    /// The name of an enum's variant, and what is in it.
    pub(crate) fn variant(&self) -> (&str, Option<&Self>) {
        match self {
            Self::Plain(name) => (name.trim_matches('"'), None),
            Self::Fields(fields) => (fields[0].0.as_str(), Some(&fields[0].1)),
            Self::List(_) => panic!("a list is no variant"),
        }
    }

    /// The value of a field.
    pub(crate) fn field(&self, name: &str) -> &Self {
        match self {
            Self::Fields(fields) => &fields.iter().find(|(other, _)| other == name).unwrap().1,
            Self::Plain(_) | Self::List(_) => panic!("{self} has no fields"),
        }
    }

    /// The same but for the fields of a name, at any depth.
    pub(crate) fn without(self, name: &str) -> Self {
        match self {
            Self::Fields(fields) => {
                let kept = fields.into_iter().filter(|(other, _)| other != name);
                Self::Fields(kept.map(|(other, value)| (other, value.without(name))).collect())
            }
            Self::List(entries) => Self::List(entries.into_iter().map(|entry| entry.without(name)).collect()),
            plain @ Self::Plain(_) => plain,
        }
    }
}

impl fmt::Display for Meaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let comma = |i: usize| if i == 0 { "" } else { "," };
        match self {
            Self::Plain(json) => f.write_str(json),
            Self::List(entries) => {
                f.write_str("[")?;
                entries.iter().enumerate().try_for_each(|(i, entry)| write!(f, "{}{entry}", comma(i)))?;
                f.write_str("]")
            }
            Self::Fields(fields) => {
                f.write_str("{")?;
                for (i, (name, value)) in fields.iter().enumerate() {
                    write!(f, "{}{}:{value}", comma(i), text(name))?;
                }
                f.write_str("}")
            }
        }
    }
}

fn text(text: &str) -> Meaning {
    Meaning::Plain(serde_json::to_string(text).unwrap())
}

fn hex(bytes: &[u8]) -> Meaning {
    text(&format!("hex:{}", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()))
}

macro_rules! plain {
    ($($name:ty, |$value:ident| $meaning:expr;)*) => {$(
        impl Tell for $name {
            fn tell(&self) -> Meaning {
                let $value = self;
                $meaning
            }
        }
    )*};
}

macro_rules! structs {
    ($($name:ident { $($field:ident),* })*) => {
        /// The structs and their fields, in the order of the wire.
        pub(crate) const STRUCTS: &[(&str, &[&str])] =
            &[$((stringify!($name), &[$(stringify!($field)),*]),)* ("CallLimit", &["calls", "per_ms"])];

        $(
        impl Tell for $name {
            fn tell(&self) -> Meaning {
                let Self { $($field,)* .. } = self;
                Meaning::Fields(vec![$((stringify!($field).to_owned(), $field.tell())),*])
            }
        }
        )*
    };
}

macro_rules! enums {
    ($($name:ident { $($variant:ident $(($inner:ident))? $({ $($field:ident),* })?,)* })*) => {
        /// The enums and their variants, in the order of their tags.
        pub(crate) const ENUMS: &[(&str, &[&str])] = &[$((stringify!($name), &[$(stringify!($variant)),*])),*];

        $(
        impl Tell for $name {
            fn tell(&self) -> Meaning {
                #[allow(unreachable_patterns, reason = "the enum may grow, and all of it is told today")]
                match self {
                    $(Self::$variant $(($inner))? $({ $($field),* })? => {
                        #[allow(unused_mut, unused_assignments, reason = "not every variant has something in it")]
                        let mut inner: Option<Meaning> = None;
                        $(inner = Some($inner.tell());)?
                        $(inner = Some(Meaning::Fields(vec![$((stringify!($field).to_owned(), $field.tell())),*]));)?
                        match inner {
                            None => text(stringify!($variant)),
                            Some(inner) => Meaning::Fields(vec![(stringify!($variant).to_owned(), inner)]),
                        }
                    })*
                    _ => panic!("a {} that has no meaning here yet", stringify!($name)),
                }
            }
        }
        )*
    };
}

plain! {
    u32, |number| Meaning::Plain(number.to_string());
    u64, |number| Meaning::Plain(number.to_string());
    bool, |flag| Meaning::Plain(flag.to_string());
    (), |_nothing| Meaning::Plain("null".to_owned());
    Text, |value| text(value);
    Token, |token| text(token.expose());
    Bytes, |bytes| hex(bytes);
    SessionId, |session| hex(&session.0);
    RequestId, |number| number.0.tell();
    MessageId, |number| number.0.tell();
    Seq, |number| number.0.tell();
    Epoch, |number| number.0.tell();
    Revision, |number| number.0.tell();
    HistoryCursor, |number| number.0.tell();
    AppId, |id| text(id.as_str());
    UserId, |id| text(id.as_str());
    ChannelId, |id| text(id.as_str());
    AttributeKey, |id| text(id.as_str());
    CallId, |id| text(id.as_str());
    InstanceId, |id| text(id.as_str());
    (UserId, PeerOnlineState), |entry| Meaning::List(vec![entry.0.tell(), entry.1.tell()]);
    Abilities, |abilities| {
        let Self {
            resume,
            binary,
            revisions,
            fetches_stored,
            repeats_attributes,
            times_token,
            gives_up,
            subscribes_once,
        } = *abilities;
        let bits = [
            (resume, 1),
            (binary, 2),
            (revisions, 4),
            (fetches_stored, 8),
            (repeats_attributes, 16),
            (times_token, 32),
            (gives_up, 64),
            (subscribes_once, 128),
        ];
        let sum: u64 = bits.into_iter().filter(|(is_set, _)| *is_set).map(|(_, bit)| bit).sum();
        sum.tell()
    };
    CallLimits, |limits| {
        // Those that are not the usual ones.
        let default = Self::default();
        let others = LimitedCall::ALL.into_iter().filter(|call| limits.get(*call) != default.get(*call));
        Meaning::Fields(others.map(|call| (call.as_str().to_owned(), limits.get(call).tell())).collect())
    };
}

impl<T: Tell> Tell for Box<T> {
    fn tell(&self) -> Meaning {
        (**self).tell()
    }
}

impl<T: Tell> Tell for Option<T> {
    fn tell(&self) -> Meaning {
        self.as_ref().map_or_else(|| Meaning::Plain("null".to_owned()), Tell::tell)
    }
}

impl<T: Tell> Tell for Vec<T> {
    fn tell(&self) -> Meaning {
        Meaning::List(self.iter().map(Tell::tell).collect())
    }
}

impl<K: Tell, V: Tell> Tell for BTreeMap<K, V> {
    fn tell(&self) -> Meaning {
        let name = |key: &K| serde_json::from_str(&key.tell().to_string()).unwrap();
        Meaning::Fields(self.iter().map(|(key, value)| (name(key), value.tell())).collect())
    }
}

impl<T: Tell> Tell for Result<T, Refusal> {
    fn tell(&self) -> Meaning {
        let (name, value) = match self {
            Ok(value) => ("Ok", value.tell()),
            Err(refusal) => ("Err", refusal.tell()),
        };
        Meaning::Fields(vec![(name.to_owned(), value)])
    }
}

structs! {
    RenewToken { token }
    SendMessageToPeer { message_id, peer_id, message, enable_offline_messaging, enable_historical_messaging }
    QueryPeersOnlineStatus { peer_ids }
    SubscribePeersOnlineStatus { peer_ids }
    UnsubscribePeersOnlineStatus { peer_ids }
    QueryPeersBySubscriptionOption {}
    SendInvitation { call_id, callee_id, content }
    CancelInvitation { call_id, callee_id, content }
    AcceptInvitation { call_id, caller_id, response }
    RefuseInvitation { call_id, caller_id, response }
    SetLocalUserAttributes { attributes }
    AddOrUpdateLocalUserAttributes { attributes }
    DeleteLocalUserAttributesByKeys { keys }
    ClearLocalUserAttributes {}
    GetUserAttributes { user_id, keys }
    JoinChannel { channel_id }
    LeaveChannel { channel_id }
    SendChannelMessage { message_id, channel_id, message, enable_historical_messaging }
    GetMembers { channel_id }
    GetChannelMemberCount { channel_ids }
    ChannelAttributeTarget { channel_id, notify, expected_revision }
    SetChannelAttributes { target, attributes }
    AddOrUpdateChannelAttributes { target, attributes }
    DeleteChannelAttributesByKeys { target, keys }
    ClearChannelAttributes { target }
    GetChannelAttributes { channel_id, keys }
    QueryHistory { conversation, from_ts, until_ts, after, limit }
    HistoryPage { messages, next }
    StoredMessage { message_id, from, message, server_received_ts }
    PeerMessage { message_id, peer_id, message, is_offline_message, server_received_ts }
    ChannelAttribute { value, last_update_user_id, last_update_ts }
    ChannelAttributes { attributes, revision }
    Resume { ticket, received, consumed, answered }
    Welcome { user_id, ticket, resumption, token_expires_in_ms, server_time_ms, limits }
    SessionTicket { session, epoch }
    Refusal { kind, detail }
}

impl Tell for CallLimit {
    fn tell(&self) -> Meaning {
        let figures = [("calls", self.calls().tell()), ("per_ms", (self.per().as_millis() as u32).tell())];
        Meaning::Fields(figures.map(|(name, figure)| (name.to_owned(), figure)).into())
    }
}

impl Tell for Login {
    fn tell(&self) -> Meaning {
        let Self { app_id, user_id, token, instance, resume, keep_alive, window, abilities, gateway_session: _ } = self;
        let fields = [
            ("app_id", app_id.tell()),
            ("user_id", user_id.tell()),
            ("token", token.tell()),
            ("instance", instance.tell()),
            ("resume", resume.tell()),
            ("keep_alive", keep_alive.tell()),
            ("window", window.tell()),
            ("abilities", abilities.tell()),
        ];
        Meaning::Fields(fields.map(|(name, value)| (name.to_owned(), value)).into())
    }
}

enums! {
    ClientFrame {
        Login(login),
        Request { id, command },
        BadRequest { id, refusal },
        Ack { received, consumed, answered },
        Ping,
        Pong,
        Logout,
    }
    ServerFrame {
        Welcome(welcome),
        Refused(refusal),
        Reply { id, result },
        Event { seq, event },
        Ping,
        Pong,
        Close(reason),
    }
    Command {
        RenewToken(operation),
        SendMessageToPeer(operation),
        QueryPeersOnlineStatus(operation),
        SubscribePeersOnlineStatus(operation),
        UnsubscribePeersOnlineStatus(operation),
        QueryPeersBySubscriptionOption(operation),
        SendInvitation(operation),
        CancelInvitation(operation),
        AcceptInvitation(operation),
        RefuseInvitation(operation),
        SetLocalUserAttributes(operation),
        AddOrUpdateLocalUserAttributes(operation),
        DeleteLocalUserAttributesByKeys(operation),
        ClearLocalUserAttributes(operation),
        GetUserAttributes(operation),
        JoinChannel(operation),
        LeaveChannel(operation),
        SendChannelMessage(operation),
        GetMembers(operation),
        GetChannelMemberCount(operation),
        SetChannelAttributes(operation),
        AddOrUpdateChannelAttributes(operation),
        DeleteChannelAttributesByKeys(operation),
        ClearChannelAttributes(operation),
        GetChannelAttributes(operation),
        QueryHistory(operation),
    }
    Answer {
        RenewToken(answer),
        SendMessageToPeer(answer),
        QueryPeersOnlineStatus(answer),
        SubscribePeersOnlineStatus(answer),
        UnsubscribePeersOnlineStatus(answer),
        QueryPeersBySubscriptionOption(answer),
        SendInvitation(answer),
        CancelInvitation(answer),
        AcceptInvitation(answer),
        RefuseInvitation(answer),
        SetLocalUserAttributes(answer),
        AddOrUpdateLocalUserAttributes(answer),
        DeleteLocalUserAttributesByKeys(answer),
        ClearLocalUserAttributes(answer),
        GetUserAttributes(answer),
        JoinChannel(answer),
        LeaveChannel(answer),
        SendChannelMessage(answer),
        GetMembers(answer),
        GetChannelMemberCount(answer),
        SetChannelAttributes(answer),
        AddOrUpdateChannelAttributes(answer),
        DeleteChannelAttributesByKeys(answer),
        ClearChannelAttributes(answer),
        GetChannelAttributes(answer),
        QueryHistory(answer),
    }
    Event {
        MessageFromPeer(message),
        PeersOnlineStatusChanged { peers },
        TokenWillExpire { expires_in_ms },
        RemoteInvitationReceived { call_id, caller_id, content },
        RemoteInvitationCanceled { call_id, caller_id, content },
        RemoteInvitationFailure { call_id, caller_id, reason },
        LocalInvitationReceivedByPeer { call_id, callee_id },
        LocalInvitationAccepted { call_id, callee_id, response },
        LocalInvitationRefused { call_id, callee_id, response },
        LocalInvitationFailure { call_id, callee_id, reason },
        ChannelMessage { channel_id, message_id, member_id, message, server_received_ts },
        MemberJoined { channel_id, member_id, member_count },
        MemberLeft { channel_id, member_id, member_count },
        MemberCountUpdated { channel_id, member_count },
        AttributesUpdated { channel_id, attributes },
        Gap { channel_id, lost },
    }
    RtmMessage { Text(text), Binary(bytes), Value(bytes), }
    HistoryOf { Peer(peer_id), Channel(channel_id), }
    SendOutcome { Delivered, Stored, NotReceived, }
    PeerOnlineState { Online, Unreachable, Offline, }
    LocalInvitationFailureReason { PeerOffline, PeerNoResponse, InvitationExpire, NotLoggedIn, }
    RemoteInvitationFailureReason { PeerOffline, AcceptFailure, InvitationExpire, }
    KeepAlive { Client { interval_ms }, Server { interval_ms }, }
    Resumption { New, Resumed, Lapsed, }
}

impl Tell for ErrorKind {
    fn tell(&self) -> Meaning {
        text(&format!("{self:?}"))
    }
}

impl Tell for CloseReason {
    fn tell(&self) -> Meaning {
        text(&format!("{self:?}"))
    }
}
