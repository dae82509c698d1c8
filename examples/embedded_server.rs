//! A server inside a program: two projects, limits and figures of one's own, users watched and banned, and messages that
//! outlive a restart.

use std::{path::Path, time::Duration};

use anyhow::Context;
use examples::{APP_ID, User};
use rtm_client::{ErrorKind, RtmEvent, SendMessageOptions};
use rtm_server::{AppId, ProjectConfig, Server, UserId};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let server = start(directory.path()).await?;
    let gateway = format!("http://{}", server.local_addr());

    let ann = User::login("ann", &gateway).await?;
    let ben = User::login("ben", &gateway).await?;
    println!("{:#?}", server.stats());

    println!("ann leaves a message for cho, who is not there");
    let options = SendMessageOptions::new().enable_offline_messaging(true);
    let outcome = ann.client.send_message_to_peer_with("cho", "see you tomorrow", options).await?;
    println!("  the server says: {outcome:?}");

    println!("ben is banned for a minute");
    let (app_id, user_id): (AppId, UserId) = (APP_ID.parse()?, "ben".parse()?);
    server.ban(&app_id, &user_id, Duration::from_secs(60)).await?;
    ben.client.logout().await?;
    let refused = ben.client.login("ben", None).await.err().context("a banned user got in")?;
    anyhow::ensure!(refused.kind() == ErrorKind::Banned, "refused for another reason: {refused}");
    println!("  ben cannot log in: {refused}");

    println!("the server goes down and another one comes up on the same directory");
    ann.client.logout().await?;
    server.shutdown().await;
    let server = start(directory.path()).await?;
    let mut cho = User::login("cho", &format!("http://{}", server.local_addr())).await?;
    cho.until(|event| matches!(event, RtmEvent::MessageFromPeer { .. }).then_some(())).await?;
    cho.client.logout().await?;
    server.shutdown().await;
    Ok(())
}

async fn start(directory: &Path) -> anyhow::Result<Server> {
    // Users of the one project log in with its App ID alone.
    let mut open = ProjectConfig::new(APP_ID.parse()?);
    open.settings.offline_messages = 1_000;
    // Those of the other one need tokens.
    let mut secure = ProjectConfig::new("fedcba9876543210fedcba9876543210".parse()?);
    secure.certificates = vec!["5CFd2fd1755d40ecb72977518be15d3b".parse()?];

    let server = Server::builder().project(open).project(secure).data_dir(directory).bind("127.0.0.1:0").await?;
    println!("listening on {}", server.local_addr());
    Ok(server)
}
