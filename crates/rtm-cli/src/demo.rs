//! `rtm demo`: a server with users who talk, and its console, with nothing to set up.

mod receiver;
mod user;

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use rtm_server::{AdminKey, AdminRole, Certificate, ListenAddress, ServerBuilder, ServerConfig, new_rest_secret};
use tokio::{task::JoinSet, time::sleep};

use self::user::{Demo, Person};
use crate::{LogFormat, connect::Stop, log_in, output, run_in_runtime};

/// Run a server with two projects and users who chat, call each other and lose their connections now and then, to be watched in
/// its console.
///
/// The first line is "console: URL", with a key that is good until the end; the lines after it say where clients connect. Nothing is kept.
/// Ctrl-C ends it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Open the console in a browser.
    #[arg(long)]
    open: bool,
    /// Address for clients.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: ListenAddress,
    /// Address for the console.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    admin: ListenAddress,
    /// End after so many seconds.
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// How many users there are, up to 5000. A tenth as many channels.
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u32).range(2..=5000))]
    users: u32,
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    // Of connections that the demo breaks nobody wants to read.
    let log = log_in(LogFormat::Text, "error")?;
    run_in_runtime(async move {
        let mut stop = Stop::new()?;
        let (key, text) = AdminKey::generate("demo", AdminRole::Admin)?;
        let (secret, digest) = new_rest_secret()?;
        // The 32 digits that a certificate has.
        let certificate = secret.get(..32).unwrap_or_default().to_owned();
        let receiver = receiver::start().await?;
        let config = config(&args, &key, &certificate, &digest, receiver);
        let mut first = ServerConfig::from_toml_str(&config)?;
        first.admin.log = Some(log);
        let builder = ServerBuilder::from(first).config_source(move || ServerConfig::from_toml_str(&config));
        let server = builder.start().await?;
        let console = server.admin_addrs().first().context("there is no console")?;
        let url = format!("http://{console}/#key={text}");
        let gateway = format!("http://{}", server.local_addr());
        // In one piece: whoever reads a line only has got what it wanted.
        let said = format!(
            "console: {url}\ngateway: {gateway}\nproject: {OPEN} (no tokens)\nproject: {SECURE} (tokens; certificate {certificate})\n"
        );
        output::text(&said)?;
        if args.open {
            open(&url);
        }
        let mut people = JoinSet::new();
        let demo = Demo { gateway, people: args.users, certificate: certificate.parse::<Certificate>()? };
        for number in 0..args.users {
            people.spawn(Person::new(demo.clone(), number).live());
        }
        let end = async {
            match args.seconds {
                Some(seconds) => sleep(Duration::from_secs(seconds)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = end => {}
            () = stop.asked() => {}
            () = server.drain_asked() => {}
        }
        tokio::select! {
            () = server.shutdown() => Ok(()),
            () = stop.asked() => anyhow::bail!("stopped by a second signal, before all clients had disconnected"),
        }
    })
}

fn config(args: &Args, key: &AdminKey, certificate: &str, digest: &str, receiver: std::net::SocketAddr) -> String {
    let (listen, admin, sha256) = (&args.listen, &args.admin, key.sha256_hex());
    // All users have one address, and more come at once than in real life.
    format!(
        r#"
        listen = "{listen}"
        max_connections_per_address = 100000
        connects_per_address = "unlimited"
        drain_rate = 20
        [admin]
        listen = "{admin}"
        [[admin.key]]
        name = "demo"
        role = "admin"
        sha256 = "{sha256}"
        [events]
        types = ["all"]
        [[project]]
        app_id = "{OPEN}"
        [[project.webhook]]
        name = "demo"
        url = "http://{receiver}/"
        secrets = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
        allow_private = true
        types = ["usual"]
        [[project.rest_key]]
        id = "demo"
        secret_sha256 = "{digest}"
        [[project]]
        app_id = "{SECURE}"
        certificates = ["{certificate}"]
        "#
    )
}

/// Opens a browser, if the system knows one.
fn open(url: &str) {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let started =
        Command::new(program).arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    if let Err(error) = started {
        tracing::error!("cannot open a browser with {program}: {error}");
    }
}

/// The project that everybody may log in to.
const OPEN: &str = "0123456789abcdef0123456789abcdef";
/// The project whose users need tokens.
const SECURE: &str = "fedcba9876543210fedcba9876543210";
