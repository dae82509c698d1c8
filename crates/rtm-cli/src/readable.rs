//! Events for a person: one line each, coloured by kind on a terminal.

use std::time::SystemTime;

use anstyle::{AnsiColor, Style};
use rtm_client::{ConnectionState, RtmEvent};

/// One line for `event`, with escape codes: write it through a stream that drops them where they are not understood.
pub(crate) fn line(event: &RtmEvent, at: SystemTime) -> String {
    let time = humantime::format_rfc3339_seconds(at);
    let (dim, style, name) = (Style::new().dimmed(), style(event), event.name());
    format!("{dim}{time}{dim:#}  {style}{name:<29}{style:#} {event}")
}

fn style(event: &RtmEvent) -> Style {
    use RtmEvent as E;
    let color = match event {
        E::ConnectionStateChanged { state: ConnectionState::Connected, .. } => AnsiColor::Green,
        E::ConnectionStateChanged { .. } | E::TokenWillExpire => AnsiColor::Yellow,
        E::MessageFromPeer { .. } | E::ChannelMessage { .. } => AnsiColor::Cyan,
        E::TokenDidExpire
        | E::LocalInvitationFailure { .. }
        | E::RemoteInvitationFailure { .. }
        | E::Gap { .. }
        | E::RestoreFailed { .. } => AnsiColor::Red,
        E::RemoteInvitationReceived { .. }
        | E::RemoteInvitationAccepted { .. }
        | E::RemoteInvitationRefused { .. }
        | E::RemoteInvitationCanceled { .. }
        | E::LocalInvitationReceivedByPeer { .. }
        | E::LocalInvitationAccepted { .. }
        | E::LocalInvitationRefused { .. }
        | E::LocalInvitationCanceled { .. } => AnsiColor::Magenta,
        _ => AnsiColor::Blue,
    };
    Style::new().fg_color(Some(color.into()))
}
