//! A bot that sits in a room and answers the commands `/hello`, `/uptime` and `/who`, there and from user to user. Messages
//! without a `/` in front get no answer.
//!
//! ```sh
//! RTM_GATEWAY=http://127.0.0.1:8080 RTM_APP_ID=0123456789abcdef0123456789abcdef RTM_UID=bot RTM_ROOM=lobby cargo run
//! ```
//!
//! As long as the crates are not published, `Cargo.toml` needs a `[patch.crates-io]` that says where they are: README.md of the
//! repository shows it. That goes for a copy too.
//!
//! Where the project asks for tokens, `RTM_CERTIFICATE` has its certificate. A bot that must not know that has its token
//! provider ask the backend that does.

use std::{
    env,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use rtm_client::{Channel, Client, ConnectionState, Events, RtmEvent};
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
        // Who is answered too often waits, instead of getting no answer.
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
    let user_id = setting("RTM_UID")?;
    let bot = Bot { room: client.channel(setting("RTM_ROOM")?)?, client, started: Instant::now() };

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
    started: Instant,
}

impl Bot {
    /// Answers until the session is over for good.
    async fn run(&self, user_id: &str, mut events: Events) -> anyhow::Result<()> {
        self.client.login(user_id, None).await.context("cannot log in")?;
        self.room.join().await.context("cannot join the room")?;
        eprintln!("{user_id} is in {}", self.room.id());
        while let Some(event) = events.recv().await {
            match event {
                RtmEvent::ChannelMessage { member_id, message, .. } => {
                    if let Some(answer) = self.answer(member_id.as_str(), message.as_text()).await {
                        report(self.room.send_message(answer).await);
                    }
                }
                RtmEvent::MessageFromPeer { peer_id, message, .. } => {
                    if let Some(answer) = self.answer(peer_id.as_str(), message.as_text()).await {
                        report(self.client.send_message_to_peer(&peer_id, answer).await);
                    }
                }
                // A lost connection comes back by itself, and so does the bot into its room. This one does not: another bot
                // has the same user id, or the user is banned. Whoever started the bot decides what to do.
                RtmEvent::ConnectionStateChanged { state: ConnectionState::Aborted, reason, .. } => {
                    bail!("the session is over: {reason}")
                }
                event @ (RtmEvent::ConnectionStateChanged { .. } | RtmEvent::Gap { .. }) => eprintln!("{event}"),
                _ => {}
            }
        }
        Ok(())
    }

    /// The answer to a message, if it is a command.
    async fn answer(&self, from: &str, text: Option<&str>) -> Option<String> {
        let command = text?.strip_prefix('/')?;
        Some(match command.split_whitespace().next()? {
            "hello" => format!("hello {from}"),
            "uptime" => format!("{} s", self.started.elapsed().as_secs()),
            // Calls may be awaited between two events: their answers do not come through the stream.
            "who" => match self.room.members().await {
                Ok(members) => members.iter().map(|member| member.as_str()).collect::<Vec<_>>().join(", "),
                Err(error) => format!("I do not know: {error:#}"),
            },
            _ => "try /hello, /uptime or /who".to_owned(),
        })
    }
}

/// An answer that cannot be sent is no reason to end.
fn report<T>(sent: Result<T, rtm_client::RtmError>) {
    if let Err(error) = sent {
        eprintln!("an answer was not sent: {error:#}");
    }
}
