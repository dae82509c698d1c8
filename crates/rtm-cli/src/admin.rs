//! `rtm admin`: the calls of a server's admin API, and the keys for it.

mod call;
mod events;
mod listener;
mod shown;
mod top;

use anyhow::bail;
use rtm_server::{AdminKey, AdminRole, AppId, RestKey, new_rest_secret};
use serde_json::{Value, json};

use self::{
    call::{Call, request},
    listener::{Listener, ListenerArgs},
    shown::{Format, print},
};
use crate::{exit::WrongArgument, output};

/// Look into a running server and steer it, by its admin API.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    listener: ListenerArgs,
    /// How to print answers.
    #[arg(long, value_enum, default_value_t = Format::Text, global = true)]
    format: Format,
    /// The project, where a call is about one; otherwise RTM_APP_ID says it. It may stand before the call or behind it.
    #[arg(long, value_name = "APPID", global = true)]
    app_id: Option<AppId>,
    #[command(subcommand)]
    call: Call,
}

/// Watch a server: rates, connections, and the sessions for which most waits. Ctrl-C ends it.
///
/// It asks the server's admin listener, as `rtm admin top` does.
#[derive(Debug, clap::Args)]
pub(crate) struct TopArgs {
    #[command(flatten)]
    listener: ListenerArgs,
    #[command(flatten)]
    top: top::Args,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let Args { listener, format, app_id, call } = args;
    call.check()?;
    let app_id = project_of(&call, app_id)?;
    if let Call::NewKey { name, role, project } = call {
        return new_key(name, role, &project);
    }
    if let Call::NewRestKey { id } = call {
        return new_rest_key(id);
    }
    if let Call::Openapi = call {
        return output::line(rtm_server::admin_openapi());
    }
    let listener = Listener::new(listener)?;
    if let Call::Ready = call {
        return ready(&listener, format).await;
    }
    match call {
        Call::Events(wanted) => {
            return events::run(&app_id, wanted.into(), format == Format::Json, &listener).await;
        }
        Call::Tap(wanted) => {
            return events::run(&app_id, wanted.into(), format == Format::Json, &listener).await;
        }
        Call::Top(_) if format == Format::Json => {
            return Err(WrongArgument("top draws pictures for people: leave out --format".to_owned()).into());
        }
        Call::Top(args) => return top::run(args, &listener).await,
        _ => {}
    }
    let (method, path, body) = request(&call, &app_id);
    let answer = listener.ask(method, &path, body).await?;
    print(&answer, format)?;
    if matches!(call, Call::TestWebhook(_)) && answer["taken"] != true {
        bail!("the endpoint did not take the event");
    }
    if matches!(call, Call::ExplainToken { .. }) && answer["verdict"] == "refused" {
        bail!("the server refuses this token");
    }
    Ok(())
}

/// The App ID that a call is about; empty if it is about none.
fn project_of(call: &Call, app_id: Option<AppId>) -> Result<String, WrongArgument> {
    let is_of_project = match call {
        Call::Events(_) | Call::Tap(_) => true,
        // It has the option too, and can do without.
        Call::Top(_) => return Ok(String::new()),
        call => request(call, "").1.starts_with("/projects/"),
    };
    match (app_id, std::env::var("RTM_APP_ID")) {
        (Some(_), _) if !is_of_project => {
            Err(WrongArgument("this call is not about one project: leave out --app-id".to_owned()))
        }
        _ if !is_of_project => Ok(String::new()),
        (Some(app_id), _) => Ok(app_id.to_string()),
        (None, Ok(text)) if !text.is_empty() => match text.parse::<AppId>() {
            Ok(app_id) => Ok(app_id.to_string()),
            Err(error) => Err(WrongArgument(format!("RTM_APP_ID={text:?}: {error}"))),
        },
        (None, _) => Err(WrongArgument("no project: use --app-id or RTM_APP_ID".to_owned())),
    }
}

pub(crate) async fn run_top(args: TopArgs) -> anyhow::Result<()> {
    top::run(args.top, &Listener::new(args.listener)?).await
}

async fn ready(listener: &Listener, format: Format) -> anyhow::Result<()> {
    let (is_ready, answer) = listener.ready().await?;
    let reasons = answer["reasons"].as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>();
    match format {
        Format::Json => output::line(json!({ "ready": is_ready, "reasons": reasons }))?,
        Format::Text if is_ready => output::line("ready")?,
        Format::Text => {}
    }
    if !is_ready {
        bail!(
            "the server is not ready: {}",
            if reasons.is_empty() { "it does not say why".to_owned() } else { reasons.join(", ") }
        );
    }
    Ok(())
}

fn new_key(name: String, role: AdminRole, projects: &[AppId]) -> anyhow::Result<()> {
    let (key, text) = AdminKey::generate(name, role)?;
    let (name, sha256) = (json!(key.name), key.sha256_hex());
    let mut text = format!("{text}\n\n[[admin.key]]\nname = {name}\nrole = \"{role}\"\nsha256 = \"{sha256}\"\n");
    if !projects.is_empty() {
        let projects = json!(projects.iter().map(ToString::to_string).collect::<Vec<_>>());
        text.push_str(&format!("projects = {projects}\n"));
    }
    output::text(&text)
}

fn new_rest_key(id: Option<String>) -> anyhow::Result<()> {
    let id = match id {
        Some(id) => id,
        None => new_rest_secret()?.0.chars().take(ID_CHARS).collect(),
    };
    let (secret, digest) = new_rest_secret()?;
    let key = RestKey::new(&id, &digest).map_err(|error| WrongArgument(format!("--id: {error}")))?;
    output::line(format_args!(
        "{}:{secret}\n\n[[project.rest_key]]\nid = {}\nsecret_sha256 = \"{digest}\"",
        key.id,
        json!(key.id)
    ))
}

/// How long an id is that nobody chose.
const ID_CHARS: usize = 16;
