//! `rtm completions` and `rtm man`: what shells and `man` know of `rtm`, made from its own description.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Command;
use clap_complete::Shell;

use crate::output;

/// Print completions for a shell.
///
/// For example: rtm completions bash > ~/.local/share/bash-completion/completions/rtm
#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// The shell.
    shell: Shell,
}

/// Print the manual page rtm(1), or write the pages of all commands.
///
/// For example: rtm man | man -l -
#[derive(Debug, clap::Args)]
pub(crate) struct Man {
    /// Write rtm.1, rtm-serve.1 and so on into this directory, which is made if it does not exist.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(crate) fn completions(args: &Completions, mut rtm: Command) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut rtm, "rtm", &mut script);
    output::bytes(&script)
}

pub(crate) fn man(args: &Man, rtm: Command) -> anyhow::Result<()> {
    let Some(dir) = &args.dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(rtm.disable_help_subcommand(true)).render(&mut page)?;
        return output::bytes(&page);
    };
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    clap_mangen::generate_to(rtm, dir).with_context(|| format!("cannot write to {}", dir.display()))
}
