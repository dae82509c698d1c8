//! `rtm config`: what a configuration may say, and what one says.

use std::{fmt::Write as _, path::PathBuf};

use rtm_server::{ConfigKey, ServerConfig};

use crate::{LogFormat, log_in, output, serve};

/// Show what a configuration may say, and check one.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Print a config file with every key: those that have a default with it, the others as comments.
    Default,
    /// Print every variable of the environment that sets a key, with the default of those that have one.
    Env,
    /// Print a page in Markdown about all keys.
    Doc,
    /// Check a config file together with the environment, and the TLS files that are named there.
    Check(File),
    /// Print the settings that a config file and the environment change, with their values. Secrets are not shown.
    Diff(File),
}

#[derive(Debug, clap::Args)]
struct File {
    /// Config file in TOML. Without it only the environment is read.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let text = match args.what {
        What::Default => file(),
        What::Env => environment(),
        What::Doc => page(),
        What::Check(File { file }) => {
            let (config, unknown) = serve::read(file.as_deref())?;
            // What the check warns of is written to the log.
            log_in(LogFormat::Text, "warn")?;
            serve::warn(&config, &unknown, false);
            serve::check(&config)?;
            if config.projects.is_empty() {
                output::note(format_args!("rtm: there is no project here: rtm serve needs --project too"));
            }
            "the configuration is valid\n".to_owned()
        }
        What::Diff(File { file }) => difference(&serve::read(file.as_deref())?.0),
    };
    output::text(&text)
}

/// The section that a key stands in, as its header says it, and the rest of the key.
fn section(key: &ConfigKey) -> (String, &str) {
    let name = key.name.as_str();
    if let Some((table, rest)) = name.rsplit_once("[].") {
        return (format!("[[{}]]", table.replace("[]", "")), rest);
    }
    match name.rsplit_once('.') {
        Some((table, rest)) => (format!("[{table}]"), rest),
        None => (String::new(), name),
    }
}

/// A file with every key.
fn file() -> String {
    let mut text = String::new();
    let mut last = String::new();
    let keys = ServerConfig::keys();
    for key in &keys {
        let (section, name) = section(key);
        if section != last {
            // Without anything in it that has to be there, a section is there only in name.
            let _ = write!(text, "\n{}{section}\n", if is_given(&section) { "" } else { "# " });
            last.clone_from(&section);
        }
        let mark = if key.default.is_some() && is_given(&section) { "" } else { "# " };
        let _ = writeln!(text, "# {}", key.about);
        let _ = writeln!(text, "{mark}{name} = {}", key.default.as_deref().unwrap_or(""));
    }
    text.trim_start().to_owned()
}

/// Whether a section may be there without anything but its defaults.
fn is_given(section: &str) -> bool {
    matches!(section, "" | "[log]" | "[rest]")
}

/// All variables.
fn environment() -> String {
    let mut text = String::new();
    for key in ServerConfig::keys() {
        let variable = key.variable();
        let _ = match &key.default {
            Some(default) if is_given(&section(&key).0) => writeln!(text, "{variable}={}", bare(default)),
            default => writeln!(text, "# {variable}={}", default.as_deref().map(bare).unwrap_or_default()),
        };
        if key.is_secret() {
            let _ = writeln!(text, "# {variable}_FILE=");
        }
    }
    text
}

/// A value as the environment has it.
fn bare(value: &str) -> String {
    let value = value.trim_start_matches('[').trim_end_matches(']');
    value.split(", ").map(|item| item.trim_matches('"')).collect::<Vec<_>>().join(",")
}

/// A page about all keys.
fn page() -> String {
    let mut text = String::from(HEAD);
    for key in ServerConfig::keys() {
        let default = key.default.as_ref().map(|value| format!("`{value}`")).unwrap_or_default();
        let live = if key.is_live { "yes" } else { "no" };
        let _ = writeln!(text, "| `{}` | {default} | {live} | `{}` | {} |", key.name, key.variable(), key.about);
    }
    text
}

/// What is not as it would be without a file and an environment.
fn difference(config: &ServerConfig) -> String {
    let defaults = ServerConfig::keys();
    let default = |key: &str| {
        let mut pattern = String::new();
        let mut depth = 0;
        for letter in key.chars() {
            depth -= i32::from(letter == ']');
            if depth == 0 {
                pattern.push(letter);
            }
            depth += i32::from(letter == '[');
        }
        defaults.iter().find(|known| known.name == pattern).and_then(|known| known.default.clone())
    };
    let mut text = String::new();
    for (key, value) in config.entries() {
        if default(&key).as_ref() != Some(&value) {
            let _ = writeln!(text, "{key} = {value}");
        }
    }
    text
}

const HEAD: &str = "\
# Configuration

Every setting of `rtm serve`. `rtm config doc` prints this page, and a test compares the two. A setting is taken from a flag of `rtm serve`, else from the
environment, else from the config file (`--config FILE`), else it has its default. [example.toml](../crates/rtm-server/src/config/example.toml) shows how
a file looks.

- In the environment a key is written in capitals behind `RTM_`, with two underscores between its levels: `RTM_ADMIN__LISTEN`. Where the table
  has `N`, a number from 0 on stands: `RTM_PROJECT__0__APP_ID`. Lists have commas: `RTM_LISTEN=127.0.0.1:8080,[::1]:8080`. An empty variable is as one that is
  not there.
- A secret may be in a file: `RTM_PROJECT__0__CERTIFICATES_FILE=/run/secrets/certificates`. This is so for `certificates`, `sha256`, `secret_sha256`, the
  `headers` of `otlp`, and the `secrets` of webhooks and hooks (`RTM_PROJECT__0__WEBHOOK__0__SECRETS_FILE`). A file with several of them has one in each line. A reload reads it again.
- `RTM_GATEWAY`, `RTM_APP_ID`, `RTM_UID`, `RTM_TOKEN`, `RTM_CERTIFICATE`, `RTM_ADMIN_URL` and `RTM_ADMIN_KEY` are for the other commands of `rtm`. `RTM_LOG` is
  the level of the log of every command. Any other variable that begins with `RTM_` is ignored with a warning, which names the setting that
  looks like it if there is one: Kubernetes sets some.
- *Reload* says whether SIGHUP and `rtm admin reload` take another value. The others need a restart, and a reload names them in a warning.
- Times are written as `500ms`, `10s`, `5m`, `24h` or `7d`, limits as `CALLS/TIME` or `unlimited`, sizes as bytes or `64KiB`, `4MiB`, `1GiB`.

`rtm config default` prints a file with every key, `rtm config env` every variable. `rtm config check FILE` checks a file together with the environment, and
`rtm config diff FILE` prints what they change.

| key | default | reload | variable | what it is for |
|---|---|---|---|---|
";
