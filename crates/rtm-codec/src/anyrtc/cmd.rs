//! The commands that an envelope can name.

use crate::Family;

macro_rules! commands {
    ($($name:ident = $text:literal,)*) => {
        /// What a packet is about.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum Cmd {
            $($name,)*
        }

        impl Cmd {
            /// The command of that name; `None` for one that is not known here.
            pub(super) fn parse(text: &str) -> Option<Self> {
                match text {
                    $($text => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Its name.
            pub(super) fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

// The most frequent first: a name is looked for in this order.
commands! {
    RecvMsgFromPeer = "RecvMsgFromPeer",
    RecvMsgFromPeerAck = "RecvMsgFromPeerAck",
    SendMsgToPeer = "SendMsgToPeer",
    MsgStatus = "MsgStatus",
    RecvMsgFromChan = "RecvMsgFromChan",
    SendChannelMsg = "SendChannelMsg",
    Login = "Login",
    Logout = "Logout",
    KeepAlive = "KeepAlive",
    ReqKeepAlive = "ReqKeepAlive",
    RenewAcsToken = "RenewAcsToken",
    QueryOnlineStatus = "QueryOnlineStatus",
    SubscribeOnlineStatus = "SubscribeOnlineStatus",
    UnSubscribeOnlineStatus = "UnSubscribeOnlineStatus",
    QueryOnlineSubStatus = "QueryOnlineSubStatus",
    PeerOnlineStatus = "PeerOnlineStatus",
    AddOrUpdateUserAttributes = "AddOrUpdateUserAttributes",
    DeleteUserAttributes = "DeleteUserAttributes",
    ClearUserAttributes = "ClearUserAttributes",
    GetUserAttributes = "GetUserAttributes",
    QueryAttribKeys = "QueryAttribKeys",
    JoinChannel = "JoinChannel",
    LeaveChannel = "LeaveChannel",
    ChanMemberJoin = "ChanMemberJoin",
    ChanMemberLeave = "ChanMemberLeave",
    MemSizeChanged = "MemSizeChanged",
    AddOrUpdateChanAttributes = "AddOrUpdateChanAttributes",
    DeleteChanAttributes = "DeleteChanAttributes",
    ClearChanAttributes = "ClearChanAttributes",
    GetChanAttributes = "GetChanAttributes",
    GetChanAttributesByKeys = "GetChanAttributesByKeys",
    ChanAttribChanged = "ChanAttribChanged",
    GetChanMemberSize = "GetChanMemberSize",
    GetChanMembers = "GetChanMembers",
    MakeCall = "MakeCall",
    CallStatus = "CallStatus",
    CancelCall = "CancelCall",
    CancelCallAck = "cancelCallAck",
    AcceptCall = "AcceptCall",
    AcceptCallAck = "AcceptCallAck",
    RejectCall = "RejectCall",
    ForceOffline = "ForceOffline",
    AcsTokenWillExpire = "AcsTokenWillExpire",
    AcsTokenDidExpire = "AcsTokenDidExpire",
}

impl Cmd {
    /// The list that the numbers in a request's answer are in; `None` for what is no request.
    pub(super) fn family(self) -> Option<Family> {
        match self {
            Self::RenewAcsToken => Some(Family::RenewToken),
            Self::SendMsgToPeer => Some(Family::PeerMessage),
            Self::QueryOnlineStatus => Some(Family::QueryPeersOnlineStatus),
            Self::SubscribeOnlineStatus | Self::UnSubscribeOnlineStatus => Some(Family::PeerSubscription),
            Self::QueryOnlineSubStatus => Some(Family::QueryPeersBySubscriptionOption),
            Self::AddOrUpdateUserAttributes
            | Self::DeleteUserAttributes
            | Self::ClearUserAttributes
            | Self::GetUserAttributes
            | Self::AddOrUpdateChanAttributes
            | Self::DeleteChanAttributes
            | Self::ClearChanAttributes
            | Self::GetChanAttributes
            | Self::GetChanAttributesByKeys => Some(Family::Attributes),
            Self::JoinChannel => Some(Family::JoinChannel),
            Self::LeaveChannel => Some(Family::LeaveChannel),
            Self::SendChannelMsg => Some(Family::ChannelMessage),
            Self::GetChanMemberSize => Some(Family::GetChannelMemberCount),
            Self::GetChanMembers => Some(Family::GetMembers),
            Self::MakeCall | Self::CancelCall | Self::AcceptCall | Self::RejectCall => Some(Family::Invitation),
            Self::Login
            | Self::Logout
            | Self::KeepAlive
            | Self::ReqKeepAlive
            | Self::MsgStatus
            | Self::RecvMsgFromPeer
            | Self::RecvMsgFromPeerAck
            | Self::PeerOnlineStatus
            | Self::QueryAttribKeys
            | Self::RecvMsgFromChan
            | Self::ChanMemberJoin
            | Self::ChanMemberLeave
            | Self::MemSizeChanged
            | Self::ChanAttribChanged
            | Self::CallStatus
            | Self::CancelCallAck
            | Self::AcceptCallAck
            | Self::ForceOffline
            | Self::AcsTokenWillExpire
            | Self::AcsTokenDidExpire => None,
        }
    }

    /// What answers a request. The rest answer under their own name, or not at all.
    pub(super) fn answer(self) -> Self {
        match self {
            Self::SendMsgToPeer => Self::MsgStatus,
            Self::GetUserAttributes => Self::QueryAttribKeys,
            Self::MakeCall => Self::CallStatus,
            Self::CancelCall => Self::CancelCallAck,
            Self::AcceptCall => Self::AcceptCallAck,
            other => other,
        }
    }
}
