//! `copies`: counts how often each byte of a message is copied in user space by the server, by the receiver and by the
//! sender, under valgrind's dhat. What the kernel copies from and to sockets is not counted, nor are copies of less than a call of
//! `memcpy` or `memmove`.
//!
//! Each of the three is watched in runs of its own: one with some messages, and one with more. What the difference of the runs copied,
//! divided by the bytes of these messages, is what a message costs, without logins and the like.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
};

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use rtm_client::{RtmMessage, Wire};
use rtm_load::Target;
use rtm_server::{CallLimits, ProjectConfig, ServerBuilder, ServerConfig};
use serde::Deserialize;
use tokio::io::AsyncReadExt as _;

/// Count how often the bytes of messages are copied in user space.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    play: Option<Play>,
}

#[derive(Debug, clap::Subcommand)]
enum Play {
    /// Be one of the three, as valgrind is to watch it.
    #[command(hide = true)]
    Play {
        role: Role,
        #[arg(long, default_value_t = 0)]
        port: u16,
        #[arg(long)]
        bytes: usize,
        #[arg(long)]
        messages: u64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Role {
    Server,
    Receiver,
    Sender,
}

fn main() -> anyhow::Result<()> {
    if let Some(Play::Play { role, port, bytes, messages }) = Args::parse().play {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        return runtime.block_on(play(role, port, bytes, messages));
    }
    let folder = tempfile::tempdir()?;
    let mut out = std::io::stdout();
    writeln!(out, "| copies of each byte of a message | server | receiver | sender |\n|---|---:|---:|---:|")?;
    for bytes in [1024, 32 * 1024] {
        let mut row = format!("| {bytes} B |");
        for role in [Role::Server, Role::Receiver, Role::Sender] {
            let few = copied(role, bytes, FEW, folder.path())?;
            let many = copied(role, bytes, MANY, folder.path())?;
            let sent = (MANY - FEW) * bytes as u64;
            row += &format!(" {:.2} |", many.saturating_sub(few) as f64 / sent as f64);
        }
        writeln!(out, "{row}")?;
    }
    Ok(())
}

/// Has messages of `bytes` sent, with one of the three under valgrind. Gives how many bytes that one copied.
fn copied(watched: Role, bytes: usize, messages: u64, folder: &Path) -> anyhow::Result<u64> {
    let file = folder.join(format!("{watched:?}-{bytes}-{messages}"));
    let start = |role, port| Player::start(role, port, bytes, messages, (role == watched).then_some(&*file));
    let mut server = start(Role::Server, 0)?;
    let port = server.said()?.trim().parse().context("the server said no port")?;
    let mut receiver = start(Role::Receiver, port)?;
    receiver.said()?;
    start(Role::Sender, port)?.end()?;
    receiver.end()?;
    server.end()?;
    let report = std::fs::read(&file).with_context(|| format!("dhat wrote nothing of the {watched:?}"))?;
    let report: Report = serde_json::from_slice(&report).context("what dhat wrote is not understood")?;
    Ok(report.places.iter().map(|place| place.bytes).sum())
}

/// What dhat writes, as far as it counts here.
#[derive(Debug, Deserialize)]
struct Report {
    #[serde(rename = "pps")]
    places: Vec<Place>,
}

/// A place in the program that copies.
#[derive(Debug, Deserialize)]
struct Place {
    #[serde(rename = "tb")]
    bytes: u64,
}

/// A process that plays a role, until its standard input ends or it is done.
struct Player {
    role: Role,
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<std::process::ChildStdout>,
}

impl Player {
    fn start(role: Role, port: u16, bytes: usize, messages: u64, watched_into: Option<&Path>) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("this program has no path")?;
        let mut command = match watched_into {
            None => Command::new(program),
            Some(file) => {
                let mut valgrind = Command::new("valgrind");
                valgrind.args(["--tool=dhat", "--mode=copy", "--quiet"]);
                valgrind.arg(format!("--dhat-out-file={}", file.display())).arg(program);
                valgrind
            }
        };
        let name = role.to_possible_value().context("a role without a name")?;
        command.args(["play", name.get_name(), "--port", &port.to_string()]);
        command.args(["--bytes", &bytes.to_string(), "--messages", &messages.to_string()]);
        // dhat tells where it has written to.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().context("cannot start valgrind, which Debian's package of that name has")?;
        let (input, output) = (child.stdin.take(), child.stdout.take().context("no output")?);
        Ok(Self { role, child, input, output: BufReader::new(output) })
    }

    /// The next line that it says.
    fn said(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        let count = self.output.read_line(&mut line)?;
        anyhow::ensure!(count > 0, "the {:?} ended early", self.role);
        Ok(line)
    }

    /// Waits until it has ended, which a server does when nobody needs it any more.
    fn end(mut self) -> anyhow::Result<()> {
        drop(self.input.take());
        let status = self.child.wait()?;
        anyhow::ensure!(status.success(), "the {:?} ended with {status}", self.role);
        Ok(())
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        // It has ended, unless something failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn play(role: Role, port: u16, bytes: usize, messages: u64) -> anyhow::Result<()> {
    let target = Target::new(format!("http://127.0.0.1:{port}"), APP_ID, Wire::Native);
    match role {
        Role::Server => {
            let mut config = ServerConfig::default();
            config.projects.push(ProjectConfig::new(APP_ID.parse()?));
            config.projects.iter_mut().for_each(|project| project.limits = CallLimits::unlimited());
            let server = ServerBuilder::from(config).bind("127.0.0.1:0").await?;
            say(&server.local_addr().port().to_string())?;
            tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
        }
        Role::Receiver => {
            let mut user = target.log_in(RECEIVER).await?;
            say("there")?;
            rtm_load::receive(&mut user.events, messages, |_| {}).await?;
            user.client.logout().await?;
        }
        Role::Sender => {
            let user = target.log_in("sender").await?;
            let message = RtmMessage::text("x".repeat(bytes));
            rtm_load::send_to_peer(&user.client, RECEIVER, &message, messages, WINDOW, None, || {}).await?;
            user.client.logout().await?;
        }
    }
    Ok(())
}

fn say(line: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

const APP_ID: &str = "0123456789abcdef0123456789abcdef";
const RECEIVER: &str = "receiver";
const WINDOW: usize = 64;
const FEW: u64 = 500;
const MANY: u64 = 1500;
