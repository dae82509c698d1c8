//! `rtm`: a server and tools for it, for terminals and scripts.

use std::{env::VarError, ffi::OsString, process::ExitCode};

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser};
use rtm_server::{LogControl, LogCounts};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::LevelFilter,
    layer::{Context, SubscriberExt as _},
    util::SubscriberInitExt as _,
};

mod admin;
mod attributes;
mod bench;
mod chat;
mod cluster;
mod config;
mod connect;
mod demo;
mod exit;
mod generate;
mod history;
mod input;
mod listen;
mod members;
mod online;
mod output;
mod readable;
mod send;
mod serve;
mod store;
mod token;
mod values;
mod version;

use self::exit::WrongArgument;

/// Under load a server mostly allocates and frees small messages, on whichever thread has them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Real-time messaging: a server, and tools to talk to it.
#[derive(Debug, Parser)]
#[command(name = "rtm", version, disable_version_flag = true, arg_required_else_help = true, after_help = exit::HELP)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Cli {
    /// Print the version.
    #[arg(short = 'V', long, required = true)]
    version: bool,
    /// With --version: print also what this program was built from.
    #[arg(long)]
    verbose: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

/// In the order in which somebody comes to use them.
#[derive(Debug, clap::Subcommand)]
enum Command {
    Demo(demo::Args),
    Serve(serve::Args),
    Listen(listen::Args),
    Send(send::Args),
    Chat(chat::Args),
    History(history::Args),
    Members(members::Args),
    Online(online::Args),
    Attributes(attributes::Args),
    Token(token::Args),
    Bench(bench::Args),
    Top(admin::TopArgs),
    Admin(admin::Args),
    Config(config::Args),
    Store(store::Args),
    Cluster(cluster::Args),
    Completions(generate::Completions),
    Man(generate::Man),
}

fn main() -> ExitCode {
    say_nothing_of_panics_at_damaged_pages();
    let Cli { command, verbose, .. } = Cli::parse_from(arguments());
    match command.map_or_else(|| version::print(verbose), execute) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::failed(&error),
    }
}

fn execute(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Demo(args) => demo::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Listen(args) => run("warn", listen::run(args)),
        Command::Send(args) => run("warn", send::run(args)),
        Command::Chat(args) => run("warn", chat::run(args)),
        Command::History(args) => run("warn", history::run(args)),
        Command::Members(args) => run("warn", members::run(args)),
        Command::Online(args) => run("warn", online::run(args)),
        Command::Attributes(args) => run("warn", attributes::run(args)),
        Command::Token(args) => token::run(args),
        Command::Bench(args) => run("warn", bench::run(args)),
        Command::Top(args) => run("warn", admin::run_top(args)),
        Command::Admin(args) => run("warn", admin::run(args)),
        Command::Config(args) => config::run(args),
        // The store of a cluster waits for a runtime of its own.
        Command::Store(args) => {
            run("info,async_nats=off", async { tokio::task::spawn_blocking(|| store::run(args)).await? })
        }
        Command::Cluster(args) => run("warn,async_nats=off", cluster::run(args)),
        Command::Completions(args) => generate::completions(&args, Cli::command()),
        Command::Man(args) => generate::man(&args, Cli::command()),
    }
}

/// The arguments. `rtm send` takes any text, so where only its text can stand, `--help` is that text.
fn arguments() -> Vec<OsString> {
    let mut arguments: Vec<_> = std::env::args_os().collect();
    if let Some(last) = arguments.last().filter(|last| *last == "--help" || *last == "-h").cloned() {
        let before = arguments.len() - 1;
        arguments[before] = "text".into();
        let is_text = matches!(Cli::try_parse_from(&arguments), Ok(Cli { command: Some(Command::Send(_)), .. }));
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

/// Runs a subcommand in a tokio runtime, with a log of this level.
fn run(level: &str, subcommand: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    log_in(LogFormat::Text, level)?;
    run_in_runtime(subcommand)
}

type SetFilter = dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync;

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// An object in JSON on each line.
    Json,
}

/// Writes a log on standard error: of this level unless RTM_LOG says otherwise. What is given changes the level.
fn log_in(format: LogFormat, level: &str) -> anyhow::Result<LogControl> {
    let said = match std::env::var("RTM_LOG") {
        Ok(text) => Some(text).filter(|text| !text.is_empty()),
        Err(VarError::NotPresent) => None,
        Err(error) => return Err(WrongArgument(format!("RTM_LOG: {error}")).into()),
    };
    let filter = match &said {
        Some(text) => {
            read_filter(text).map_err(|error| WrongArgument(format!("RTM_LOG={text:?} is not a log level: {error}")))?
        }
        None => EnvFilter::new(level),
    };
    let ansi = output::has_colours(&std::io::stderr());
    let counts = LogCounts::default();
    let counted = Counted(counts.clone());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi);
    // Where the log cannot be written, that cannot be said there either: trying to would panic.
    let log = log.log_internal_errors(false);
    // Either has a handle of its own type.
    let set: Box<SetFilter> = match format {
        LogFormat::Text => {
            let log = log.with_filter_reloading();
            let handle = log.reload_handle();
            log.finish().with(counted).init();
            Box::new(move |filter| handle.reload(filter).map_err(|error| error.to_string()))
        }
        LogFormat::Json => {
            let log = log.json().with_filter_reloading();
            let handle = log.reload_handle();
            log.finish().with(counted).init();
            Box::new(move |filter| handle.reload(filter).map_err(|error| error.to_string()))
        }
    };
    let control = LogControl::new(said.as_deref().unwrap_or(level), move |level| set(read_filter(level)?));
    Ok(control.with_counts(counts))
}

/// Counts the warnings and errors that the log has.
struct Counted(LogCounts);

impl<S: tracing::Subscriber> Layer<S> for Counted {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        match *event.metadata().level() {
            tracing::Level::WARN => self.0.add_warning(),
            tracing::Level::ERROR => self.0.add_error(),
            _ => {}
        }
    }
}

/// Reads a level, or several with the modules that they are for. A word that is no level would turn everything else off.
fn read_filter(text: &str) -> Result<EnvFilter, String> {
    for part in text.split(',') {
        let level = part.rsplit_once('=').map_or(part, |(_, level)| level).trim();
        if level.is_empty() || level.parse::<LevelFilter>().is_err() {
            return Err(format!("{level:?} is none of error, warn, info, debug, trace and off"));
        }
    }
    EnvFilter::builder().parse(text).map_err(|error| error.to_string())
}

fn run_in_runtime(subcommand: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let done = runtime.block_on(subcommand);
    // What is still under way, reading standard input for one, must not hold up the end.
    runtime.shutdown_background();
    done
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Cli;

    #[test]
    fn every_command_is_put_together_well() {
        Cli::command().debug_assert();
    }
}
