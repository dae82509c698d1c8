//! `rtm chat`: a channel in the terminal.

mod command;
mod editor;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    io::IsTerminal as _,
};

use anstyle::{AnsiColor, Style};
use anyhow::Context as _;
use rtm_client::{
    Channel, ChannelId, ConnectionState, Events, HistoryQuery, RtmEvent, SendChannelMessageOptions, SendMessageOptions,
    SendOutcome,
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use self::command::Command;
use crate::{
    attributes::{OfChannel, channel_lines},
    connect::{Stop, User, goes_on},
    history::last,
    input,
    output::{self, Format},
    readable::{self, Timed, plain},
};

/// Talk in a channel: what you type goes to its members, and their messages are shown, with who joins and who leaves.
///
/// A line that begins with a slash is a command; /help lists them. Ctrl-D or /quit ends the chat. Where standard input is no
/// terminal, its lines are sent, and the chat ends with them; the exit status is 1 if one was not sent.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    user: User,
    /// The channel.
    #[arg(value_name = "ROOM")]
    channel: ChannelId,
    /// Keep what you say in the history of the channel, and what you say to a user in that of both.
    #[arg(long)]
    history: bool,
    /// Output format. json prints each event as `rtm listen` does.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// A chat that goes on.
struct Chat<'a> {
    args: &'a Args,
    channel: Channel,
    screen: RefCell<Screen>,
    is_away: Cell<bool>,
}

/// Where lines come from.
enum Input {
    Typed(editor::Typed),
    Read(mpsc::Receiver<std::io::Result<input::Line>>),
}

/// Where lines go.
struct Screen {
    /// On a terminal, above the line that is being typed.
    above: Option<editor::Above>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let mut stop = Stop::new()?;
    let (client, events) = args.user.client(true)?;
    let chat = async {
        args.user.login(&client).await?;
        let channel = client.channel(&args.channel)?;
        channel.join().await.with_context(|| format!("cannot join {}", args.channel))?;
        args.chat(channel, events).await
    };
    let done = tokio::select! {
        done = chat => done,
        () = stop.asked() => Ok(()),
    };
    let _ = client.logout().await;
    done
}

impl Args {
    async fn chat(&self, channel: Channel, mut events: Events) -> anyhow::Result<()> {
        let is_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        let is_dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
        // What is declared first is dropped last: the terminal gets its settings back when nothing is printed any more.
        let mut _settings = None;
        let (mut input, above) = match self.format {
            Format::Text if is_terminal && !is_dumb => {
                let (typed, above, settings) = editor::start(format!("{}> ", self.channel))?;
                _settings = Some(settings);
                (Input::Typed(typed), Some(above))
            }
            _ => (Input::Read(input::lines()), None),
        };
        let is_typed = above.is_some();
        let chat = Chat { args: self, channel, screen: RefCell::new(Screen { above }), is_away: Cell::new(false) };
        if is_typed {
            chat.say("/help lists the commands, Ctrl-D ends the chat")?;
            chat.members().await?;
        }
        let failed = tokio::select! {
            failed = chat.talk(&mut input) => failed?,
            over = chat.watch(&mut events) => return over,
        };
        // What came before the last line was done.
        while let Some(event) = events.try_recv() {
            chat.show(&event)?;
        }
        anyhow::ensure!(failed == 0 || is_typed, "{failed} of the lines could not be carried out");
        Ok(())
    }
}

impl Input {
    async fn next(&mut self) -> anyhow::Result<Option<String>> {
        match self {
            Self::Typed(typed) => typed.next().await,
            Self::Read(lines) => {
                let line = lines.recv().await.transpose().context("cannot read standard input")?;
                Ok(line.map(|line| line.text))
            }
        }
    }
}

impl Chat<'_> {
    /// Does what the lines say until they end. Answers how many could not be carried out.
    async fn talk(&self, input: &mut Input) -> anyhow::Result<u64> {
        let mut failed = 0;
        while let Some(line) = input.next().await? {
            match self.obey(&line).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) if error.is::<output::OutputError>() => return Err(error),
                Err(error) => {
                    failed += 1;
                    self.fail(&error)?;
                }
            }
        }
        Ok(failed)
    }

    /// Shows events until the session is over.
    async fn watch(&self, events: &mut Events) -> anyhow::Result<()> {
        loop {
            let event = events.recv().await.context("the client has ended")?;
            self.show(&event)?;
            goes_on(&event)?;
        }
    }

    /// Does what a line says. False at the end.
    async fn obey(&self, line: &str) -> anyhow::Result<bool> {
        let client = self.channel.client();
        match command::read(line) {
            Command::Nothing => {}
            Command::Say(text) => {
                let options = SendChannelMessageOptions::new().enable_historical_messaging(self.args.history);
                self.channel.send_message_with(text, options).await.context("not sent")?;
            }
            Command::To { peer, text } => {
                let options = SendMessageOptions::new().enable_historical_messaging(self.args.history);
                let outcome = client.send_message_to_peer_with(peer, text, options).await.context("not sent")?;
                if outcome != SendOutcome::Delivered {
                    anyhow::bail!("{peer} did not receive it");
                }
                self.answer(|| json!({ "peer_id": peer, "outcome": "delivered" }), || format!("{peer} has it"))?;
            }
            Command::Members => self.members().await?,
            Command::Online(peers) => {
                let states = client.query_peers_online_status(&peers).await?;
                let states: Vec<_> = states.iter().map(|(peer, state)| (peer.as_str(), state.to_string())).collect();
                self.answer(
                    || json!({ "online": states.iter().cloned().collect::<BTreeMap<_, _>>() }),
                    || states.iter().map(|(peer, state)| format!("{peer} is {state}")).collect::<Vec<_>>().join(", "),
                )?;
            }
            Command::History(messages) => {
                let mut history = self.channel.history(HistoryQuery::new());
                let found = last(&mut history, messages).await?;
                for message in &found {
                    match self.args.format {
                        Format::Json => self.print(&serde_json::to_string(&Timed::stored(message))?)?,
                        Format::Text => self.print(&readable::stored(message))?,
                    }
                }
                if found.is_empty() && self.args.format == Format::Text {
                    self.say("the history is empty: messages are kept with --history")?;
                }
            }
            Command::Attributes => {
                let attributes = client.channel_attributes(&self.args.channel).await?;
                match self.args.format {
                    Format::Json => {
                        let of = OfChannel { channel_id: self.args.channel.as_str(), attributes: &attributes };
                        self.print(&serde_json::to_string(&of)?)?;
                    }
                    Format::Text if attributes.attributes.is_empty() => self.say("there are none")?,
                    Format::Text => channel_lines(&attributes).lines().try_for_each(|line| self.print(line))?,
                }
            }
            Command::Help if self.args.format == Format::Json => {
                self.print(&json!({ "help": command::HELP }).to_string())?;
            }
            Command::Help => command::HELP.lines().try_for_each(|line| self.print(line))?,
            Command::Quit => return Ok(false),
            Command::Wrong(why) => anyhow::bail!("{why}"),
        }
        Ok(true)
    }

    async fn members(&self) -> anyhow::Result<()> {
        let mut members = self.channel.members().await?;
        members.sort();
        let names = || members.iter().map(ToString::to_string).collect::<Vec<_>>();
        self.answer(
            || json!({ "channel_id": self.args.channel.as_str(), "members": names() }),
            || format!("{} here: {}", members.len(), names().join(", ")),
        )
    }

    /// An event, as far as a person in a chat wants to know of it.
    fn show(&self, event: &RtmEvent) -> anyhow::Result<()> {
        if self.args.format == Format::Json {
            return self.print(&serde_json::to_string(&Timed::event(event))?);
        }
        match event {
            RtmEvent::ChannelMessage { member_id, message, .. } => {
                let style = style(member_id.as_str());
                self.at(event, &format!("{style}{member_id}{style:#}: {}", readable::message(message)))
            }
            RtmEvent::MessageFromPeer { peer_id, message, .. } => {
                let style = style(peer_id.as_str());
                self.at(event, &format!("{style}{peer_id}{style:#}, to you alone: {}", readable::message(message)))
            }
            RtmEvent::MemberJoined { member_id, .. } => self.at(event, &format!("* {member_id} joined")),
            RtmEvent::MemberLeft { member_id, .. } => self.at(event, &format!("* {member_id} left")),
            RtmEvent::ConnectionStateChanged { state: ConnectionState::Reconnecting, .. } => {
                self.is_away.set(true);
                self.at(event, "* the connection is lost: reconnecting")
            }
            RtmEvent::ConnectionStateChanged { state: ConnectionState::Connected, .. } if self.is_away.take() => {
                self.at(event, "* connected again")
            }
            RtmEvent::ConnectionStateChanged { .. } | RtmEvent::MemberCountUpdated { .. } => Ok(()),
            event => self.at(event, &format!("* {event}")),
        }
    }

    fn at(&self, event: &RtmEvent, what: &str) -> anyhow::Result<()> {
        let dim = Style::new().dimmed();
        let time = humantime::format_rfc3339_seconds(readable::moment(event)).to_string();
        // Of the date nobody in a chat is in doubt.
        let time = time.get(11..19).unwrap_or(&time);
        self.print(&format!("{dim}{time}{dim:#} {what}"))
    }

    /// What a command found out.
    fn answer(&self, json: impl FnOnce() -> Value, text: impl FnOnce() -> String) -> anyhow::Result<()> {
        match self.args.format {
            Format::Json => self.print(&json().to_string()),
            Format::Text => self.say(&text()),
        }
    }

    fn say(&self, text: &str) -> anyhow::Result<()> {
        let dim = Style::new().dimmed();
        self.print(&format!("{dim}* {}{dim:#}", plain(text)))
    }

    /// Why a line was not carried out.
    fn fail(&self, error: &anyhow::Error) -> anyhow::Result<()> {
        let text = plain(&format!("{error:#}"));
        if self.screen.borrow().above.is_none() {
            output::note(format_args!("rtm: {text}"));
            return Ok(());
        }
        let red = Style::new().fg_color(Some(AnsiColor::Red.into()));
        self.print(&format!("{red}* {text}{red:#}"))
    }

    fn print(&self, line: &str) -> anyhow::Result<()> {
        match &mut self.screen.borrow_mut().above {
            Some(above) => above.print(line),
            None => output::line(line),
        }
    }
}

/// A colour for each name.
fn style(name: &str) -> Style {
    let colors = [
        AnsiColor::Cyan,
        AnsiColor::Green,
        AnsiColor::Magenta,
        AnsiColor::Blue,
        AnsiColor::Yellow,
        AnsiColor::BrightCyan,
    ];
    let sum = name.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
    Style::new().fg_color(colors.get(sum % colors.len()).map(|color| (*color).into()))
}
