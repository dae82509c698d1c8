//! A session that goes on in another process: a first process saves it and ends without logging out, and the next one
//! gets what was sent meanwhile, as if the first had only lost its connection.

use std::{env, path::Path, process, time::Duration};

use anyhow::{Context, bail, ensure};
use examples::{APP_ID, start_server};
use rtm_client::{Client, Events, RtmEvent, Session};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    if let [gateway, file] = &args[..] {
        return first_process(gateway, Path::new(file)).await;
    }
    let (server, gateway) = start_server().await?;
    let (ben, _ben_events) = Client::builder().gateway(&gateway).app_id(APP_ID).build()?;
    ben.login("ben", None).await?;
    let lobby = ben.channel("lobby")?;
    lobby.join().await?;

    // Who can read the file can take the session over. Nobody else may read this one, and it is removed at the end.
    let file = tempfile::NamedTempFile::new()?;
    let mut first = process::Command::new(env::current_exe()?).arg(&gateway).arg(file.path()).spawn()?;
    let ended = tokio::task::spawn_blocking(move || first.wait()).await??;
    ensure!(ended.success(), "the first process ended with {ended}");
    lobby.send_message("sent while ann's program was not running").await?;

    let session: Session = serde_json::from_slice(&std::fs::read(file.path())?)?;
    let (ann, mut events) = Client::builder().gateway(&gateway).app_id(APP_ID).resume(session).build()?;
    ann.login("ann", None).await?;
    println!("second process: {}", next_message(&mut events).await?);

    for client in [ann, ben] {
        client.logout().await?;
    }
    server.shutdown().await;
    Ok(())
}

/// Logs in, joins, saves the session, and is gone.
async fn first_process(gateway: &str, file: &Path) -> anyhow::Result<()> {
    let (ann, mut events) = Client::builder().gateway(gateway).app_id(APP_ID).build()?;
    ann.login("ann", None).await?;
    ann.channel("lobby")?.join().await?;
    // What is not taken before the session is saved does not come again: the last thing that a join brings is the count.
    let count = events.wait_for(Duration::from_secs(5), |event| match event {
        RtmEvent::MemberCountUpdated { member_count, .. } => Some(member_count),
        _ => None,
    });
    count.await.context("the lobby has not told its members")?;
    let session = ann.session().await.context("there is no session")?;
    std::fs::write(file, serde_json::to_vec(&session)?)?;
    println!("first process: saved {session:?}");
    // Returning would drop the client, which logs out.
    process::exit(0)
}

async fn next_message(events: &mut Events) -> anyhow::Result<String> {
    let event = events.wait_for(Duration::from_secs(5), |event| {
        matches!(event, RtmEvent::ChannelMessage { .. } | RtmEvent::Gap { .. }).then_some(event)
    });
    match event.await.context("nothing came")? {
        RtmEvent::ChannelMessage { message, .. } => Ok(message.as_text().unwrap_or_default().to_owned()),
        gap => bail!("something is missing: {gap}"),
    }
}
