//! What the examples share: a server in the same process, and users whose events are printed.

use std::time::Duration;

use anyhow::Context;
use rtm_client::{Client, Events, RtmEvent, Wire};
use rtm_server::{ProjectConfig, Server};
use rtm_token::{Builder, Certificate};
use tokio::time::timeout;

/// The project of all examples.
pub const APP_ID: &str = "0123456789abcdef0123456789abcdef";

/// Its certificate, where an example has tokens. A real one stays on the server that makes tokens.
const CERTIFICATE: &str = "5CFd2fd1755d40ecb72977518be15d3b";

/// A server that lets everybody in who knows the App ID; its address comes with it.
///
/// # Errors
///
/// When it cannot listen.
pub async fn start_server() -> anyhow::Result<(Server, String)> {
    let server = Server::builder().project(ProjectConfig::new(APP_ID.parse()?)).bind("127.0.0.1:0").await?;
    let gateway = format!("http://{}", server.local_addr());
    Ok((server, gateway))
}

/// A server that asks for tokens; its address comes with it.
///
/// # Errors
///
/// When it cannot listen.
pub async fn start_secure_server() -> anyhow::Result<(Server, String)> {
    let mut project = ProjectConfig::new(APP_ID.parse()?);
    project.certificates = vec![CERTIFICATE.parse()?];
    let server = Server::builder().project(project).bind("127.0.0.1:0").await?;
    let gateway = format!("http://{}", server.local_addr());
    Ok((server, gateway))
}

/// A token for the server of [`start_secure_server`], as an application's own backend would make it.
///
/// # Errors
///
/// When the user id or the life is not one that a token can have.
pub fn token(user_id: &str, ttl: Duration) -> anyhow::Result<String> {
    let certificate: Certificate = CERTIFICATE.parse()?;
    Ok(Builder::for_now(APP_ID, &certificate, user_id).ttl(ttl).build()?)
}

/// A client whose events are printed as they are taken.
#[derive(Debug)]
pub struct User {
    /// The client.
    pub client: Client,
    name: String,
    events: Events,
}

impl User {
    /// A client that is not logged in yet.
    ///
    /// # Errors
    ///
    /// When the gateway is not an address.
    pub fn new(name: &str, gateway: &str, wire: Wire) -> anyhow::Result<Self> {
        let (client, events) = Client::builder().gateway(gateway).app_id(APP_ID).wire(wire).build()?;
        Ok(Self { client, name: name.to_owned(), events })
    }

    /// A client that is logged in without a token, on the native wire.
    ///
    /// # Errors
    ///
    /// When the login fails.
    pub async fn login(name: &str, gateway: &str) -> anyhow::Result<Self> {
        let user = Self::new(name, gateway, Wire::Native)?;
        user.client.login(name, None).await?;
        Ok(user)
    }

    /// Takes and prints events up to the first one that is wanted, and gives what is wanted of it.
    ///
    /// # Errors
    ///
    /// When it does not come within 10 s.
    pub async fn until<T>(&mut self, wanted: impl Fn(&RtmEvent) -> Option<T>) -> anyhow::Result<T> {
        let search = async {
            loop {
                let event = self.events.recv().await.context("the client has ended")?;
                self.say(event.name(), &event.to_string());
                if let Some(found) = wanted(&event) {
                    return Ok(found);
                }
            }
        };
        timeout(Duration::from_secs(10), search).await.with_context(|| format!("{}: no such event", self.name))?
    }

    /// Prints the events that have come by now.
    pub fn show_waiting(&mut self) {
        while let Some(event) = self.events.try_recv() {
            self.say(event.name(), &event.to_string());
        }
    }

    /// Prints a line of this user.
    pub fn say(&self, what: &str, text: &str) {
        println!("{:<6} {what:<30} {text}", self.name);
    }
}
