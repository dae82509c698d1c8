//! `rtm attributes`: what is written on users and channels.

use std::collections::BTreeMap;

use anstyle::Style;
use clap::ArgGroup;
use rtm_client::{
    AttributeKey, ChannelAttributeOptions, ChannelAttributes, ChannelId, Client, Revision, RtmError, Text, UserId,
};
use serde::Serialize;
use serde_json::json;

use crate::{
    connect::User,
    output::{self, Format},
    readable,
};

/// Read and write the attributes of users and channels.
///
/// Everybody who is logged in can read those of users, and read and write those of channels. A user's attributes are written only by
/// the user, and end with its session; those of an empty channel are kept for some minutes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Print attributes.
    Get(Get),
    /// Set attributes of a channel, or those of --uid.
    ///
    /// The others stay as they are. Those of --uid end with its session, so without --channel the command stays until SIGINT or
    /// SIGTERM.
    Set(Set),
    /// Delete attributes of a channel.
    Delete(Delete),
}

#[derive(Debug, clap::Args)]
struct Get {
    #[command(flatten)]
    user: User,
    #[command(flatten)]
    of: Owner,
    /// Print only these. Unknown keys are left out.
    #[arg(value_name = "KEY")]
    keys: Vec<AttributeKey>,
    /// Output format.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Owner {
    /// The user whose attributes they are. The user must be logged in.
    #[arg(long = "user", value_name = "USER")]
    peer: Option<UserId>,
    /// The channel whose attributes they are.
    #[arg(long, value_name = "ROOM")]
    channel: Option<ChannelId>,
}

#[derive(Debug, clap::Args)]
struct Set {
    #[command(flatten)]
    user: User,
    /// The channel. Without it they are those of --uid.
    #[arg(long, value_name = "ROOM")]
    channel: Option<ChannelId>,
    /// Keys with their values.
    #[arg(value_name = "KEY=VALUE", required = true, value_parser = pair)]
    attributes: Vec<(AttributeKey, String)>,
    /// Remove all other attributes.
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    write: Write,
}

#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("which").required(true).args(["keys", "all"]))]
struct Delete {
    #[command(flatten)]
    user: User,
    /// The channel.
    #[arg(long, value_name = "ROOM")]
    channel: ChannelId,
    /// The attributes to delete. Unknown keys are no error.
    #[arg(value_name = "KEY")]
    keys: Vec<AttributeKey>,
    /// Delete all of them.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    write: Write,
}

/// How a channel's attributes are written.
#[derive(Debug, clap::Args)]
struct Write {
    /// Tell the members of the channel.
    #[arg(long)]
    notify: bool,
    /// Write only if the attributes of the channel are still at this revision. On the native wire only.
    #[arg(long, value_name = "N")]
    expected_revision: Option<u64>,
    /// Output format.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    match &args.action {
        Action::Get(get) => get.user.act(async |client| get.run(client).await).await,
        Action::Set(Set { channel: None, attributes, replace, write, user }) => {
            if write.notify || write.expected_revision.is_some() {
                let fault = "--notify and --expected-revision are for a --channel".to_owned();
                return Err(crate::exit::WrongArgument(fault).into());
            }
            let set = async |client: &Client| {
                let attributes = attributes.iter().map(|(key, value)| (key.as_str(), value.as_str()));
                if *replace {
                    client.set_local_user_attributes(attributes).await?;
                } else {
                    client.add_or_update_local_user_attributes(attributes).await?;
                }
                output::note("rtm: set, until this ends");
                anyhow::Ok(())
            };
            user.stay(set, |_| Ok(())).await
        }
        Action::Set(Set { channel: Some(room), attributes, replace, write, user }) => {
            user.act(async |client| {
                let attributes = attributes.iter().map(|(key, value)| (key.as_str(), value.as_str()));
                write.print(match *replace {
                    true => client.set_channel_attributes(room, attributes, write.options()).await,
                    false => client.add_or_update_channel_attributes(room, attributes, write.options()).await,
                })
            })
            .await
        }
        Action::Delete(Delete { user, channel, keys, all, write }) => {
            user.act(async |client| {
                write.print(match *all {
                    true => client.clear_channel_attributes(channel, write.options()).await,
                    false => client.delete_channel_attributes_by_keys(channel, keys, write.options()).await,
                })
            })
            .await
        }
    }
}

impl Get {
    async fn run(&self, client: &Client) -> anyhow::Result<()> {
        match (&self.of.peer, &self.of.channel) {
            (Some(peer), _) => {
                let attributes = match self.keys.is_empty() {
                    true => client.user_attributes(peer).await?,
                    false => client.user_attributes_by_keys(peer, &self.keys).await?,
                };
                self.print_user(peer, &attributes)
            }
            (None, Some(room)) => {
                let attributes = match self.keys.is_empty() {
                    true => client.channel_attributes(room).await?,
                    false => client.channel_attributes_by_keys(room, &self.keys).await?,
                };
                self.print_channel(room, &attributes)
            }
            (None, None) => anyhow::bail!("use --user or --channel"),
        }
    }

    fn print_user(&self, peer: &UserId, attributes: &BTreeMap<AttributeKey, Text>) -> anyhow::Result<()> {
        match self.format {
            Format::Json => {
                let attributes: BTreeMap<_, _> =
                    attributes.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
                output::json(&json!({ "user_id": peer.as_str(), "attributes": attributes }))
            }
            Format::Text => attributes.iter().try_for_each(|(key, value)| {
                output::line(format_args!("{}={}", readable::plain(key.as_str()), readable::plain(value)))
            }),
        }
    }

    fn print_channel(&self, room: &ChannelId, attributes: &ChannelAttributes) -> anyhow::Result<()> {
        match self.format {
            Format::Json => output::json(&OfChannel { channel_id: room.as_str(), attributes }),
            Format::Text => output::text(&channel_lines(attributes)),
        }
    }
}

/// The attributes of a channel, each on a line with who wrote it and when.
pub(crate) fn channel_lines(attributes: &ChannelAttributes) -> String {
    let dim = Style::new().dimmed();
    let line = |(key, one): (&AttributeKey, &rtm_client::ChannelAttribute)| {
        let time = humantime::format_rfc3339_seconds(one.last_update_at());
        let (key, value, who) = (readable::plain(key.as_str()), readable::plain(&one.value), &one.last_update_user_id);
        format!("{key}={value}  {dim}({who}, {time}){dim:#}\n")
    };
    attributes.attributes.iter().map(line).collect()
}

/// A channel's attributes as they are printed as JSON.
#[derive(Serialize)]
pub(crate) struct OfChannel<'a> {
    pub(crate) channel_id: &'a str,
    #[serde(flatten)]
    pub(crate) attributes: &'a ChannelAttributes,
}

impl Write {
    fn options(&self) -> ChannelAttributeOptions {
        let options = ChannelAttributeOptions::new().enable_notification_to_channel_members(self.notify);
        self.expected_revision.map_or(options, |revision| options.expected_revision(Revision(revision)))
    }

    fn print(&self, written: Result<Revision, RtmError>) -> anyhow::Result<()> {
        let revision = written?.0;
        match self.format {
            Format::Json => output::json(&json!({ "revision": revision })),
            Format::Text => output::line(format_args!("revision {revision}")),
        }
    }
}

/// `KEY=VALUE`. A key has no equals sign here; a value may.
fn pair(text: &str) -> Result<(AttributeKey, String), String> {
    let (key, value) = text.split_once('=').ok_or("there is no = in it")?;
    Ok((AttributeKey::new(key).map_err(|error| error.to_string())?, value.to_owned()))
}
