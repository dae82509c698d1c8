//! `rtm online`: which users are online, once or with every change.

use anstyle::{AnsiColor, Style};
use rtm_client::{PeerOnlineState, RtmEvent, UserId};
use serde_json::json;

use crate::{
    connect::User,
    output::{self, Format},
    readable::Timed,
};

/// Print which users are online.
///
/// ONLINE: logged in. UNREACHABLE: logged in, but silent for some seconds. OFFLINE: not logged in.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    user: User,
    /// Users to ask for.
    #[arg(value_name = "PEER", required = true)]
    peers: Vec<UserId>,
    /// Stay, and print each change, until SIGINT or SIGTERM. At most 512 users.
    #[arg(long)]
    watch: bool,
    /// Output format.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let Args { user, peers, watch, format } = &args;
    if *watch {
        let subscribe =
            async |client: &rtm_client::Client| anyhow::Ok(client.subscribe_peers_online_status(peers).await?);
        return user.stay(subscribe, |event| print_changes(event, *format)).await;
    }
    user.act(async |client| {
        for some in peers.chunks(PEERS_AT_ONCE) {
            let states = client.query_peers_online_status(some).await?;
            // In the order of asking.
            for (peer, state) in some.iter().filter_map(|peer| Some((peer, states.get(peer)?))) {
                print(peer, *state, *format)?;
            }
        }
        Ok(())
    })
    .await
}

fn print_changes(event: &RtmEvent, format: Format) -> anyhow::Result<()> {
    if let RtmEvent::PeersOnlineStatusChanged { peers, .. } = event {
        peers.iter().try_for_each(|(peer, state)| print(peer, *state, format))?;
    }
    Ok(())
}

fn print(peer: &UserId, state: PeerOnlineState, format: Format) -> anyhow::Result<()> {
    let (color, name) = match state {
        PeerOnlineState::Online => (AnsiColor::Green, "ONLINE"),
        PeerOnlineState::Unreachable => (AnsiColor::Yellow, "UNREACHABLE"),
        _ => (AnsiColor::BrightBlack, "OFFLINE"),
    };
    let style = Style::new().fg_color(Some(color.into()));
    match format {
        Format::Json => output::json(&Timed::now(json!({ "peer_id": peer.as_str(), "state": name }))),
        Format::Text => output::line(format_args!("{style}{name:<11}{style:#}  {peer}")),
    }
}

/// How many users one question may be about.
const PEERS_AT_ONCE: usize = 256;
