//! Two ways to keep a session alive past its token: a token provider, and by hand at the warning.

use std::time::{Duration, Instant};

use examples::{APP_ID, User, start_secure_server, token};
use rtm_client::{Client, ConnectionState, RtmEvent, Wire};

const TTL: Duration = Duration::from_secs(3);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (server, gateway) = start_secure_server().await?;

    // By a provider: the client asks it when it logs in and before each token ends.
    let (ann, mut events) = Client::builder()
        .gateway(&gateway)
        .app_id(APP_ID)
        .token_provider(async |user_id| {
            println!("ann    a new token is made for {user_id}");
            token(user_id.as_str(), TTL)
        })
        .build()?;
    ann.login("ann", None).await?;
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            println!("ann    {:<30} {event}", event.name());
        }
    });

    // By hand.
    let mut ben = User::new("ben", &gateway, Wire::Native)?;
    ben.client.login("ben", Some(&token("ben", TTL)?)).await?;
    let started = Instant::now();
    while started.elapsed() < TTL * 2 {
        ben.until(|event| matches!(event, RtmEvent::TokenWillExpire).then_some(())).await?;
        ben.client.renew_token(&token("ben", TTL)?).await?;
        ben.say("  renews the token", &format!("{:.1?} after the login", started.elapsed()));
    }
    for client in [&ann, &ben.client] {
        anyhow::ensure!(client.connection_state() == ConnectionState::Connected, "a session ended with its token");
    }
    println!("\nafter {:.1?}, with tokens of {TTL:?}, both are still logged in\n", started.elapsed());

    ann.logout().await?;
    ben.client.logout().await?;
    server.shutdown().await;
    Ok(())
}
