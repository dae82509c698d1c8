//! `rtm members`: who is in a channel, or how many are.

use rtm_client::{ChannelId, Client};
use serde_json::json;

use crate::{
    connect::User,
    output::{self, Format},
};

/// Print who is in a channel, or how many users are.
///
/// Only members can read the list, so --uid joins the channel for a moment; it is not in the list. The server lists 512 members at most.
/// With --count nobody joins.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    user: User,
    /// The channel.
    #[arg(value_name = "ROOM")]
    channel: ChannelId,
    /// Print only how many members it has.
    #[arg(long)]
    count: bool,
    /// Output format.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    args.user.act(async |client| if args.count { args.count(client).await } else { args.list(client).await }).await
}

impl Args {
    async fn count(&self, client: &Client) -> anyhow::Result<()> {
        let counts = client.channel_member_count([&self.channel]).await?;
        let count = counts.get(&self.channel).copied().unwrap_or_default();
        match self.format {
            Format::Json => output::json(&json!({ "channel_id": self.channel.as_str(), "member_count": count })),
            Format::Text => output::line(count),
        }
    }

    async fn list(&self, client: &Client) -> anyhow::Result<()> {
        let channel = client.channel(&self.channel)?;
        channel.join().await?;
        let own = client.user_id();
        let mut members = channel.members().await?;
        members.retain(|member| Some(member) != own.as_ref());
        members.sort();
        match self.format {
            Format::Json => {
                let members: Vec<_> = members.iter().map(ToString::to_string).collect();
                output::json(&json!({ "channel_id": self.channel.as_str(), "members": members }))
            }
            Format::Text => output::text(&members.iter().map(|member| format!("{member}\n")).collect::<String>()),
        }
    }
}
