//! `rtm`: the server, a listener, a sender and a maker of tokens, for the command line and for scripts.

use std::{io::IsTerminal as _, process::ExitCode};

use anyhow::Context as _;
use clap::Parser;
use tracing_subscriber::EnvFilter;

mod bench;
mod connect;
mod listen;
mod readable;
mod send;
mod serve;
mod store;
mod token;

/// Under load a server mostly allocates and frees small messages, on whichever thread has them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Real-time messaging: a server, and tools to talk to it.
#[derive(Debug, Parser)]
#[command(name = "rtm", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Bench(bench::Args),
    Listen(listen::Args),
    Send(send::Args),
    Serve(serve::Args),
    Store(store::Args),
    Token(token::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Bench(args) => run("warn", bench::run(args)),
        Command::Listen(args) => run("warn", listen::run(args)),
        Command::Send(args) => run("warn", send::run(args)),
        Command::Serve(args) => run("info", serve::run(args)),
        Command::Store(args) => run("info", async { store::run(args) }),
        Command::Token(args) => token::run(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rtm: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a subcommand in a tokio runtime, with a log on standard error: of this level unless RTM_LOG says otherwise.
fn run(level: &str, subcommand: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_env("RTM_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let ansi = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi).init();
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let done = runtime.block_on(subcommand);
    // What is still under way, reading standard input for one, must not hold up the end.
    runtime.shutdown_background();
    done
}
