//! `rtm`: a server and tools for it, for terminals and scripts.

use std::{env::VarError, ffi::OsString, io::IsTerminal as _, process::ExitCode};

use anyhow::Context as _;
use clap::Parser;
use tracing_subscriber::EnvFilter;

mod bench;
mod cluster;
mod connect;
mod exit;
mod listen;
mod readable;
mod send;
mod serve;
mod store;
mod token;

use self::exit::WrongArgument;

/// Under load a server mostly allocates and frees small messages, on whichever thread has them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Real-time messaging: a server, and tools to talk to it.
#[derive(Debug, Parser)]
#[command(name = "rtm", version, after_help = exit::HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Serve(serve::Args),
    Listen(listen::Args),
    Send(send::Args),
    Token(token::Args),
    Bench(bench::Args),
    Store(store::Args),
    Cluster(cluster::Args),
}

fn main() -> ExitCode {
    say_nothing_of_panics_at_damaged_pages();
    let done = match Cli::parse_from(arguments()).command {
        Command::Serve(args) => run("info,async_nats=off", serve::run(args)),
        Command::Listen(args) => run("warn", listen::run(args)),
        Command::Send(args) => run("warn", send::run(args)),
        Command::Token(args) => token::run(args),
        Command::Bench(args) => run("warn", bench::run(args)),
        Command::Cluster(args) => run("warn,async_nats=off", cluster::run(args)),
        // The store of a cluster waits for a runtime of its own.
        Command::Store(args) => {
            run("info,async_nats=off", async { tokio::task::spawn_blocking(|| store::run(args)).await? })
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::failed(&error),
    }
}

/// The arguments. `rtm send` takes any text, so where only its text can stand, `--help` is that text.
fn arguments() -> Vec<OsString> {
    let mut arguments: Vec<_> = std::env::args_os().collect();
    if let Some(last) = arguments.last().filter(|last| *last == "--help" || *last == "-h").cloned() {
        let before = arguments.len() - 1;
        arguments[before] = "text".into();
        let is_text = matches!(Cli::try_parse_from(&arguments), Ok(Cli { command: Command::Send(_) }));
        arguments.truncate(before);
        if is_text && arguments.last().is_none_or(|last| last != "--") {
            arguments.push("--".into());
        }
        arguments.push(last);
    }
    arguments
}

/// The store's engine panics at some damaged pages. The store makes an error of that, which says where the damage is.
fn say_nothing_of_panics_at_damaged_pages() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.location().is_none_or(|location| !location.file().contains("/redb-")) {
            usual(panic);
        }
    }));
}

/// Runs a subcommand in a tokio runtime, with a log on standard error: of this level unless RTM_LOG says otherwise.
fn run(level: &str, subcommand: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let filter = match std::env::var("RTM_LOG") {
        Ok(filter) => EnvFilter::builder()
            .parse(&filter)
            .map_err(|error| WrongArgument(format!("RTM_LOG={filter:?} is not a log level: {error}")))?,
        Err(VarError::NotPresent) => EnvFilter::new(level),
        Err(error) => return Err(WrongArgument(format!("RTM_LOG: {error}")).into()),
    };
    let ansi = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi).init();
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let done = runtime.block_on(subcommand);
    // What is still under way, reading standard input for one, must not hold up the end.
    runtime.shutdown_background();
    done
}
