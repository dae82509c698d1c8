//! `rtm`: the server, a listener, a sender and a maker of tokens, for the command line and for scripts.

use std::process::ExitCode;

use clap::Parser;

mod token;

/// Real-time messaging: a server, and tools to talk to it.
#[derive(Debug, Parser)]
#[command(name = "rtm", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Token(token::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
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
