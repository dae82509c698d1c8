//! The commands that an envelope can name, and what stands for something else in their fields.

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

/// The wire's number for a text message, the only kind that the SDK takes.
pub(super) const TEXT: u64 = 1;
/// `CallStatus`: the server has the invitation.
pub(super) const CALL_SENT: u64 = 1;
/// `CallStatus`: the callee's device has it.
pub(super) const CALL_RECEIVED: u64 = 2;
/// `CallStatus`: the callee is not there.
pub(super) const CALL_PEER_OFFLINE: u64 = 3;
/// `CallStatus`: the callee does nothing.
pub(super) const CALL_NO_RESPONSE: u64 = 4;
/// `CancelCall`: the caller went away.
pub(super) const REASON_OFFLINE: &str = "Offline";
/// `CancelCall`: nobody answered.
pub(super) const REASON_TIMEOUT: &str = "TimeOut";
/// Ours, in `Failure`.
pub(super) const ACCEPT_FAILURE: &str = "ACCEPT_FAILURE";
/// Ours, in `Failure`.
pub(super) const INVITATION_EXPIRE: &str = "INVITATION_EXPIRE";
/// Ours, in `Failure`; the vendor's spelling.
pub(super) const NOT_LOGGED_IN: &str = "NOT_LOGGEDIN";
