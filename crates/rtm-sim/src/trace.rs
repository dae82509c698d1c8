//! What happened, as lines for a person to read.

use std::{fmt::Write as _, time::Duration};

use rtm_codec::{ClientFrame, Command, Event, RtmMessage, ServerFrame};
use rtm_core::{LogEntry, StoreWork};

/// The lines so far, if anybody wants them.
#[derive(Debug, Default)]
pub(crate) struct Trace(Option<Vec<String>>);

impl Trace {
    pub(crate) fn start(&mut self) {
        self.0.get_or_insert_default();
    }

    pub(crate) fn lines(&self) -> &[String] {
        self.0.as_deref().unwrap_or_default()
    }

    pub(crate) fn line(&mut self, now: Duration, who: &str, text: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.0 {
            let mut line = format!("{:>10.4} {who:<10} {}", now.as_secs_f64(), text());
            if let Some((at, _)) = line.char_indices().nth(LINE) {
                line.truncate(at);
                line.push('…');
            }
            lines.push(line);
        }
    }
}

/// A frame of a client in a few words.
pub(crate) fn client_frame(frame: &ClientFrame) -> String {
    match frame {
        ClientFrame::Login(login) => match &login.resume {
            Some(resume) => format!(
                "Login, goes on after {} (consumed {}, answered below {})",
                resume.received, resume.consumed, resume.answered
            ),
            None => "Login".to_owned(),
        },
        ClientFrame::Request { id, command } => format!("#{id} {}", self::command(command)),
        ClientFrame::Ack { received, consumed, answered } => {
            format!("Ack received {received}, consumed {consumed}, answered below {answered}")
        }
        other => format!("{other:?}"),
    }
}

/// A frame of a server in a few words.
pub(crate) fn server_frame(frame: &ServerFrame) -> String {
    match frame {
        ServerFrame::Welcome(welcome) => format!("Welcome {:?}", welcome.resumption),
        ServerFrame::Reply { id, result: Ok(answer) } => format!("#{id} Ok {answer:?}"),
        ServerFrame::Reply { id, result: Err(refusal) } => format!("#{id} Err {:?} {}", refusal.kind, refusal.detail),
        ServerFrame::Event { seq, event } => format!("[{seq}] {}", self::event(event)),
        other => format!("{other:?}"),
    }
}

/// A call in a few words, with what is written in it: the world's users have no secrets.
pub(crate) fn command(command: &Command) -> String {
    match command {
        Command::SendMessageToPeer(send) => format!(
            "SendMessageToPeer {} {} to {}{}",
            send.message_id,
            message(&send.message),
            send.peer_id,
            if send.enable_offline_messaging { ", stored if offline" } else { "" }
        ),
        Command::SendChannelMessage(send) => {
            format!("SendChannelMessage {} {} to {}", send.message_id, message(&send.message), send.channel_id)
        }
        Command::JoinChannel(join) => format!("JoinChannel {}", join.channel_id),
        Command::LeaveChannel(leave) => format!("LeaveChannel {}", leave.channel_id),
        Command::SendInvitation(send) => format!("SendInvitation {} to {}", send.call_id, send.callee_id),
        Command::CancelInvitation(cancel) => format!("CancelInvitation {} to {}", cancel.call_id, cancel.callee_id),
        Command::AcceptInvitation(accept) => format!("AcceptInvitation {} of {}", accept.call_id, accept.caller_id),
        Command::RefuseInvitation(refuse) => format!("RefuseInvitation {} of {}", refuse.call_id, refuse.caller_id),
        other => format!("{other:?}"),
    }
}

fn event(event: &Event) -> String {
    match event {
        Event::MessageFromPeer(from) => format!(
            "MessageFromPeer {} {} from {}{}",
            from.message_id,
            message(&from.message),
            from.peer_id,
            if from.is_offline_message { ", stored" } else { "" }
        ),
        Event::ChannelMessage { channel_id, message_id, member_id, message, .. } => {
            format!("ChannelMessage {message_id} {} from {member_id} in {channel_id}", self::message(message))
        }
        other => format!("{other:?}"),
    }
}

/// Work for the store in a few words.
pub(crate) fn work(work: &StoreWork) -> String {
    match work {
        StoreWork::Append { log, entry: LogEntry::Message(message), .. } => format!(
            "Append to {log:?}: {} {} from {}",
            message.message_id,
            self::message(&message.message),
            message.from
        ),
        StoreWork::AppendEvents { events, .. } => format!("Append {events:?}"),
        StoreWork::Read { log, after, .. } => format!("Read {log:?} after {after:?}"),
        StoreWork::Remove { log, places } => format!("Remove from {log:?}: {places:?}"),
        other => format!("{other:?}"),
    }
}

/// A message: its first words.
pub(crate) fn message(message: &RtmMessage) -> String {
    match message.as_text() {
        Some(text) => {
            let mut shown: String = text.chars().take(24).collect();
            if shown.len() < text.len() {
                // Writing to a string does not fail.
                let _ = write!(shown, "… {} bytes", text.len());
            }
            format!("{shown:?}")
        }
        None => format!("{message:?}"),
    }
}

/// The most characters of a line.
const LINE: usize = 300;
