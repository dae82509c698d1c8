//! The server that is measured: one with an address, or one of this process.

use std::path::PathBuf;

use anyhow::Context as _;
use rtm_codec::AppId;
use rtm_load::Target;
use rtm_server::{CallLimits, ServerBuilder, ServerConfig};
use rtm_token::{Builder, Certificate};

use crate::{
    connect::{Transport, gateways, trimmed},
    exit::WrongArgument,
    output, serve,
    values::read_authorities,
};

#[derive(Debug, clap::Args)]
pub(super) struct Server {
    /// URL of the server, or several with commas or in several --gateway: the users spread over them. Without it the load has a server
    /// of its own, in the same process, in memory and without limits.
    #[arg(long, value_name = "URL[,URL…]", env = "RTM_GATEWAY", value_delimiter = ',', value_parser = trimmed)]
    gateway: Vec<String>,
    /// App ID of the project: 32 letters and digits. Required with --gateway.
    #[arg(long, value_name = "APPID", env = "RTM_APP_ID")]
    app_id: Option<AppId>,
    #[command(flatten)]
    pub(super) transport: Transport,
    /// Certificate of the project, to make tokens; required if the project has one.
    #[arg(long, value_name = "CERT", env = "RTM_CERTIFICATE", hide_env_values = true)]
    certificate: Option<Certificate>,
    /// Print one line of JSON.
    #[arg(long)]
    pub(super) json: bool,
    /// Draw the course of the load and its latencies into this file, as SVG.
    #[arg(long, value_name = "FILE")]
    pub(super) plot: Option<PathBuf>,
}

/// A server to log in to. One of this process ends when this is dropped.
pub(super) struct Running {
    pub(super) target: Target,
    _own: Option<rtm_server::Server>,
}

impl Server {
    pub(super) async fn start(&self) -> anyhow::Result<Running> {
        let Some((first, others)) = gateways(&self.gateway)?.split_first() else {
            let (app_id, server) = self.start_own().await?;
            let gateway = format!("http://{}", server.local_addr());
            return Ok(Running { target: self.target(&gateway, &[], &app_id)?, _own: Some(server) });
        };
        let app_id = self.app_id.as_ref().ok_or_else(|| WrongArgument("--gateway needs --app-id".to_owned()))?;
        Ok(Running { target: self.target(first, others, app_id)?, _own: None })
    }

    async fn start_own(&self) -> anyhow::Result<(AppId, rtm_server::Server)> {
        let app_id = self.app_id.as_ref().map_or(OWN_APP_ID, AppId::as_str);
        // All users have one address.
        let mut config = ServerConfig::from_toml_str(&format!(
            "listen = \"127.0.0.1:0\"\nmax_connections = {MAX_USERS}\nmax_connections_per_address = {MAX_USERS}\n\
             connects_per_address = \"unlimited\"\n[[project]]\napp_id = \"{app_id}\"\n"
        ))?;
        for project in &mut config.projects {
            project.limits = CallLimits::unlimited();
            project.certificates.extend(self.certificate.clone());
        }
        serve::raise_descriptors(config.max_connections);
        let server = ServerBuilder::from(config).start().await.context("cannot start a server")?;
        output::note("rtm: no --gateway, so this measures a server of its own in this process, without limits");
        Ok((app_id.parse()?, server))
    }

    fn target(&self, first: &str, others: &[String], app_id: &AppId) -> anyhow::Result<Target> {
        let Transport { wire, ca, .. } = &self.transport;
        let mut target = others.iter().fold(Target::new(first, app_id.as_str(), wire.wire()), Target::with_gateway);
        if let Some(file) = ca {
            target = target.with_root_certificates(read_authorities(file)?);
        }
        if let Some((certificates, key)) = self.transport.client_certificate()? {
            target = target.with_client_certificate(certificates, key);
        }
        Ok(match self.certificate.clone() {
            Some(certificate) => {
                let app_id = app_id.clone();
                target.with_tokens(move |user_id| token(app_id.as_str(), &certificate, user_id))
            }
            None => target,
        })
    }
}

/// A token; empty for an App ID that no token can hold, which the login then complains of.
fn token(app_id: &str, certificate: &Certificate, user_id: &str) -> String {
    Builder::for_now(app_id, certificate, user_id).build().unwrap_or_default()
}

/// The project of a server of this process, unless --app-id names one.
const OWN_APP_ID: &str = "0123456789abcdef0123456789abcdef";
/// More than any load has.
const MAX_USERS: u32 = 200_000;
