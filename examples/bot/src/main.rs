//! A bot that sits in a room and answers commands, there and from user to user: `/hello`, `/uptime`, `/who`, `/topic`, `/note` and
//! `/notes`. Messages without a `/` in front get no answer. docs/client.md explains it step by step.
//!
//! ```sh
//! RTM_GATEWAY=http://127.0.0.1:8080 RTM_APP_ID=0123456789abcdef0123456789abcdef RTM_UID=bot RTM_ROOM=lobby cargo run
//! ```
//!
//! As long as the crates are not published, `Cargo.toml` needs a `[patch.crates-io]` that says where they are: docs/client.md
//! shows it. That goes for a copy too.
//!
//! Where the project asks for tokens, `RTM_CERTIFICATE` has its certificate. A bot that must not know that has its token
//! provider ask the back end that does. `RTM_OWNER` is a user to whom the bot reports when that user comes online.

use std::{
    env,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use rtm_client::{
    Channel, ChannelAttributeOptions, Client, ConnectionState, Events, HistoryQuery, PeerOnlineState, RtmError,
    RtmEvent, SendChannelMessageOptions, SendMessageOptions,
};
use rtm_token::{Builder, Certificate};
use tokio::signal::ctrl_c;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let app_id = setting("RTM_APP_ID")?;
    let mut builder = Client::builder()
        .gateway(setting("RTM_GATEWAY")?)
        .app_id(&app_id)
        // A server that is not there yet is waited for.
        .login_timeout(Duration::from_secs(60 * 60))
        // Above a call limit, wait instead of failing.
        .wait_for_limits(true);
    if let Ok(certificate) = env::var("RTM_CERTIFICATE") {
        let certificate: Certificate = certificate.parse().context("RTM_CERTIFICATE")?;
        // Asked at the login, and again before a token ends.
        builder = builder.token_provider(move |user_id| {
            let token =
                Builder::for_now(&app_id, &certificate, user_id.as_str()).ttl(Duration::from_secs(60 * 60)).build();
            async move { token }
        });
    }
    let (client, events) = builder.build()?;
    let room = client.channel(setting("RTM_ROOM")?)?;
    let bot = Bot { room, client, owner: env::var("RTM_OWNER").ok(), started: Instant::now() };

    let user_id = setting("RTM_UID")?;
    let ended = tokio::select! {
        ended = bot.run(&user_id, events) => ended,
        _ = ctrl_c() => Ok(()),
    };
    // The others see it leave at once. Without this they would after half a minute.
    let _ = bot.client.logout().await;
    ended
}

fn setting(name: &str) -> anyhow::Result<String> {
    env::var(name).with_context(|| format!("{name} is not set"))
}

struct Bot {
    client: Client,
    room: Channel,
    owner: Option<String>,
    started: Instant,
}

impl Bot {
    /// Answers until the session is over for good.
    async fn run(&self, user_id: &str, mut events: Events) -> anyhow::Result<()> {
        self.client.login(user_id, None).await.context("cannot log in")?;
        self.room.join().await.context("cannot join the room")?;
        if let Some(owner) = &self.owner {
            self.client.subscribe_peers_online_status([owner]).await.context("cannot watch the owner")?;
        }
        eprintln!("{user_id} is in {}", self.room.id());
        while let Some(event) = events.recv().await {
            self.handle(event).await?;
        }
        Ok(())
    }

    async fn handle(&self, event: RtmEvent) -> anyhow::Result<()> {
        match event {
            RtmEvent::ChannelMessage { member_id, message, .. } => {
                if let Some(answer) = self.answer(member_id.as_str(), message.as_text()).await {
                    report(self.room.send_message(answer).await);
                }
            }
            RtmEvent::MessageFromPeer { peer_id, message, .. } => {
                if let Some(answer) = self.answer(peer_id.as_str(), message.as_text()).await {
                    // Who has left in the meantime reads it after the next login.
                    let options = SendMessageOptions::new().enable_offline_messaging(true);
                    report(self.client.send_message_to_peer_with(&peer_id, answer, options).await);
                }
            }
            RtmEvent::PeersOnlineStatusChanged { peers, .. } => {
                let online = peers.iter().filter(|(_, state)| **state == PeerOnlineState::Online);
                for (owner, _) in online {
                    let members = self.room.member_count().await.unwrap_or_default();
                    report(self.client.send_message_to_peer(owner, format!("{members} in {}", self.room.id())).await);
                }
            }
            RtmEvent::RemoteInvitationReceived { invitation, .. } => {
                report(self.client.refuse_invitation(&invitation, "I am a bot, and cannot talk").await);
            }
            // A lost connection comes back by itself, and so does the bot into its room. This one does not: another bot
            // has the same user id, or the user is banned. Whoever started the bot decides what to do.
            RtmEvent::ConnectionStateChanged { state: ConnectionState::Aborted, reason, .. } => {
                bail!("the session is over: {reason}")
            }
            // Something was lost. This bot keeps no copy of anything, so it has nothing to ask for again.
            event @ (RtmEvent::ConnectionStateChanged { .. }
            | RtmEvent::Gap { .. }
            | RtmEvent::RestoreFailed { .. }) => {
                eprintln!("{event}");
            }
            _ => {}
        }
        Ok(())
    }

    /// The answer to a message, if it is a command.
    async fn answer(&self, from: &str, text: Option<&str>) -> Option<String> {
        let command = text?.strip_prefix('/')?;
        let (name, rest) = command.split_once(' ').unwrap_or((command, ""));
        let answer = match (name, rest.trim()) {
            ("hello", _) => Ok(format!("hello {from}")),
            ("uptime", _) => Ok(format!("{} s", self.started.elapsed().as_secs())),
            // Calls may be awaited between two events: their answers do not come through the stream.
            ("who", _) => self.who().await,
            ("topic", "") => self.topic().await,
            ("topic", topic) => self.set_topic(topic).await,
            ("note", note) if !note.is_empty() => self.note(from, note).await,
            ("notes", _) => self.notes().await,
            _ => Ok("try /hello, /uptime, /who, /topic TEXT, /note TEXT or /notes".to_owned()),
        };
        Some(answer.unwrap_or_else(|error| format!("I cannot: {error:#}")))
    }

    async fn who(&self) -> Result<String, RtmError> {
        let members = self.room.members().await?;
        Ok(members.iter().map(|member| member.as_str()).collect::<Vec<_>>().join(", "))
    }

    /// The topic is an attribute of the channel: everybody can read it, and it is still there after the bot has gone.
    async fn topic(&self) -> Result<String, RtmError> {
        let known = self.room.attributes().await?;
        Ok(known.attributes.get("topic").map_or("there is none".to_owned(), |topic| {
            format!("{} (set by {})", topic.value.as_str(), topic.last_update_user_id)
        }))
    }

    async fn set_topic(&self, topic: &str) -> Result<String, RtmError> {
        let options = ChannelAttributeOptions::new().enable_notification_to_channel_members(true);
        self.room.add_or_update_attributes([("topic", topic)], options).await?;
        Ok("all members know".to_owned())
    }

    /// A note is a message that stays in the channel's history.
    async fn note(&self, from: &str, note: &str) -> Result<String, RtmError> {
        let options = SendChannelMessageOptions::new().enable_historical_messaging(true);
        self.room.send_message_with(format!("{from} notes: {note}"), options).await?;
        Ok("noted".to_owned())
    }

    async fn notes(&self) -> Result<String, RtmError> {
        let mut history = self.room.history(HistoryQuery::new());
        let mut notes = Vec::new();
        while let Some(stored) = history.try_next().await? {
            notes.extend(stored.message.as_text().map(str::to_owned));
        }
        // An answer has 32 KiB at most, so it has the last few.
        let first = notes.len().saturating_sub(5);
        Ok(if notes.is_empty() { "there are none".to_owned() } else { notes[first..].join("; ") })
    }
}

/// An answer that cannot be sent is no reason to end.
fn report<T>(sent: Result<T, RtmError>) {
    if let Err(error) = sent {
        eprintln!("an answer was not sent: {error:#}");
    }
}
