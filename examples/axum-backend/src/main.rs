//! A web back end with RTM at the same port. Its users' programs log in at its own address with tokens that it gives them;
//! it is a user itself, and offers others over HTTP what that user can do:
//!
//! | request | what it does |
//! |---|---|
//! | `POST /tokens/{user_id}` | a token, with which that user may log in |
//! | `POST /users/{user_id}/messages` | sends the body to a user, and says what became of it |
//! | `POST /channels/{channel_id}/messages` | sends the body to a channel |
//! | `GET /channels/{channel_id}/members` | who is in a channel |
//! | `GET /events` | what happens, as server-sent events |
//!
//! ```sh
//! RTM_APP_ID=0123456789abcdef0123456789abcdef RTM_CERTIFICATE=5CFd2fd1755d40ecb72977518be15d3b cargo run
//! ```
//!
//! As long as the crates are not published, `Cargo.toml` needs a `[patch.crates-io]` that says where they are: docs/client.md of the
//! repository shows it. That goes for a copy too.
//!
//! Whoever reaches these routes may use them. Put your own authentication in front before you put it on a network.

mod api;
mod error;

use std::{env, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use axum::extract::ConnectInfo;
use rtm_client::{Client, Events, RtmEvent};
use rtm_server::{ProjectConfig, Remote, Server};
use rtm_token::{Builder, Certificate};
use tokio::{net::TcpListener, signal::ctrl_c, sync::broadcast};

/// Who the back end is among the users.
const USER_ID: &str = "backend";

/// What all requests share.
#[derive(Clone)]
struct Backend {
    client: Client,
    tokens: Arc<Tokens>,
    /// The one stream of the client, for each request that wants to see it.
    events: broadcast::Sender<Arc<RtmEvent>>,
}

/// Makes tokens. The certificate never leaves the back end.
struct Tokens {
    app_id: String,
    certificate: Certificate,
}

impl Tokens {
    fn token(&self, user_id: &str) -> Result<String, rtm_token::BuildError> {
        Builder::for_now(&self.app_id, &self.certificate, user_id).ttl(Duration::from_secs(60 * 60)).build()
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let setting = |name| env::var(name).with_context(|| format!("{name} is not set"));
    let certificate: Certificate = setting("RTM_CERTIFICATE")?.parse().context("RTM_CERTIFICATE")?;
    let tokens = Arc::new(Tokens { app_id: setting("RTM_APP_ID")?, certificate: certificate.clone() });
    let listener = TcpListener::bind(env::var("LISTEN").unwrap_or("127.0.0.1:3000".into())).await?;
    let address = listener.local_addr()?;

    let mut project = ProjectConfig::new(tokens.app_id.parse().context("RTM_APP_ID")?);
    project.certificates = vec![certificate];
    // It listens nowhere itself: what the routes below do not answer is its.
    let server = Server::builder().project(project).build().await?;
    let rtm = server.service().remote(|request| match request.extensions.get() {
        // Behind a proxy, take the address from the header that the proxy sets: limits count by it.
        Some(ConnectInfo::<SocketAddr>(address)) => Remote::at(*address),
        None => Remote::unknown(),
    });

    let provider = Arc::clone(&tokens);
    let (client, stream) = Client::builder()
        .gateway(format!("http://{address}"))
        .app_id(&tokens.app_id)
        // Calls that come in too fast wait for their turn. Otherwise they would fail with 429.
        .wait_for_limits(true)
        .token_provider(move |user_id| {
            let token = provider.token(user_id.as_str());
            async move { token }
        })
        .build()?;
    let (events, _) = broadcast::channel(1024);
    tokio::spawn(share(stream, events.clone()));

    let app = api::routes(Backend { client: client.clone(), tokens, events }).fallback_service(rtm);
    println!("listening on http://{address}");
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let serving = async { anyhow::Ok(axum::serve(listener, app).await?) };
    let login = async {
        // Its way leads through this port, so it can only come in while the application serves.
        client.login(USER_ID, None).await.context("the back end cannot log in")?;
        std::future::pending::<anyhow::Result<()>>().await
    };
    tokio::select! {
        ended = serving => ended?,
        failed = login => failed?,
        _ = ctrl_c() => {}
    }
    // Tells the clients to come back later. Those that are in the middle of a request get an answer.
    server.shutdown().await;
    Ok(())
}

/// Gives each event to whoever watches. There is one stream, and it is to be read to the end, watched or not.
async fn share(mut stream: Events, events: broadcast::Sender<Arc<RtmEvent>>) {
    while let Some(event) = stream.recv().await {
        // Nobody watches at the moment: nothing is lost by it.
        let _ = events.send(Arc::new(event));
    }
}
