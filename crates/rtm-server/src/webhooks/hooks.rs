//! What a back end is asked before something is done.

use std::{
    any::Any,
    collections::BTreeMap,
    net::IpAddr,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use rtm_codec::{AppId, ClientFrame, Command, RtmMessage, Text, UserId, limits::MESSAGE_BYTES};
use rtm_core::store::BackendError;
use serde::{Deserialize, Serialize};
use tracing::debug;

use super::{
    caller::{Caller, Try},
    config::{Hook, HookConfig, HookKind, OnError},
};
use crate::{
    clock::instant,
    error::ServerError,
    gate::{Decision, Judge, Judges, Questions, Verdict},
    random::random_bytes,
    shared::Seldom,
};

/// The hooks of a project.
#[derive(Debug)]
pub(crate) struct Hooks {
    app_id: AppId,
    config: Vec<Hook>,
    hooks: BTreeMap<HookKind, Arc<Asked>>,
    /// What was asked so far, also before a reload.
    figures: Questions,
    /// The numbers of questions begin with this: no other start has it.
    start: u64,
    questions: AtomicU64,
}

/// Somebody who is asked.
#[derive(Debug)]
struct Asked {
    caller: Caller,
    on_error: OnError,
    failed: Seldom,
}

/// A question, as it is written.
#[derive(Serialize)]
struct Question<'a> {
    r#type: &'static str,
    app_id: &'a str,
    user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    /// In base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<String>,
    address: Option<IpAddr>,
}

#[derive(Deserialize)]
struct Reply {
    allow: Option<bool>,
    reason: Option<String>,
    text: Option<String>,
}

/// Those who decide about what clients do, by project. Who stays as it was is the same; others go on counting where those
/// before them did.
pub(crate) async fn judges(configs: Vec<HookConfig>, before: &Judges) -> Result<Judges, ServerError> {
    let before = before.clone();
    let reading = tokio::task::spawn_blocking(move || {
        let asking = configs.into_iter().filter(|config| !config.hooks.is_empty());
        let judge = |HookConfig { app_id, hooks, .. }: HookConfig| {
            let old = before.get(&app_id);
            let figures = old.map(|old| old.questions()).unwrap_or_default();
            let new = Hooks::new(app_id.clone(), hooks, figures)?;
            let judge: Arc<dyn Judge> = match old {
                Some(old) if new.is_as(&**old) => Arc::clone(old),
                _ => Arc::new(new),
            };
            Ok((app_id, judge))
        };
        asking.map(judge).collect()
    });
    reading.await.map_err(|error| BackendError::new("read the files of hooks", error))?
}

impl Hooks {
    /// Those of a project. Reads the files that they name. Blocks.
    pub(crate) fn new(app_id: AppId, hooks: Vec<Hook>, figures: Questions) -> Result<Self, ServerError> {
        let config = hooks.clone();
        let asked = hooks.into_iter().map(|hook| {
            let caller = Caller::of_hook(&hook)?;
            Ok((hook.kind, Arc::new(Asked { caller, on_error: hook.on_error, failed: Seldom::default() })))
        });
        let hooks: BTreeMap<HookKind, _> = asked.collect::<Result<_, ServerError>>()?;
        {
            let mut figures = figures.lock().unwrap_or_else(PoisonError::into_inner);
            for kind in hooks.keys() {
                figures.entry(kind.as_str()).or_default();
            }
        }
        let start = u64::from_le_bytes(random_bytes()?);
        Ok(Self { app_id, config, hooks, figures, start, questions: AtomicU64::new(0) })
    }

    /// Whether a judge goes by the same settings, and has read the same files.
    fn is_as(&self, judge: &dyn Any) -> bool {
        let files = |hooks: &Self| hooks.hooks.values().map(|asked| asked.caller.files()).collect::<Vec<_>>();
        let hooks = judge.downcast_ref::<Self>();
        hooks.is_some_and(|hooks| hooks.config == self.config && files(hooks) == files(self))
    }

    fn hook(&self, frame: &ClientFrame) -> Option<&Arc<Asked>> {
        let ClientFrame::Request { command, .. } = frame else { return None };
        let kind = match command {
            Command::JoinChannel(_) => HookKind::AuthorizeJoin,
            Command::SendMessageToPeer(_) | Command::SendChannelMessage(_) => HookKind::FilterMessage,
            _ => return None,
        };
        self.hooks.get(&kind)
    }

    fn ask(&self, asked: &Arc<Asked>, kind: HookKind, question: &Question<'_>) -> Verdict {
        let number = self.questions.fetch_add(1, Ordering::Relaxed);
        let id = format!("hook-{:016x}-{number}", self.start);
        let body = serde_json::to_vec(question);
        let (asked, app_id, figures) = (Arc::clone(asked), self.app_id.clone(), Arc::clone(&self.figures));
        Box::pin(async move {
            let since = instant();
            let answered = match body {
                Ok(body) => asked.caller.call(&id, "application/json", Try::default(), body.into()).await,
                Err(error) => Err(error.to_string()),
            };
            let decided = answered.and_then(|reply| {
                if !reply.status.is_success() {
                    return Err(format!("it answers {}", reply.status));
                }
                decision(&reply.body?, kind)
            });
            count(&figures, kind, &decided, instant().saturating_duration_since(since));
            decided.unwrap_or_else(|what| {
                asked.failed.warn(format_args!("the hook {kind} of the project {app_id} does not decide: {what}"));
                match asked.on_error {
                    OnError::Allow => Decision::Allow,
                    OnError::Deny => {
                        Decision::Undecided("the application's back end did not say whether this is allowed".to_owned())
                    }
                }
            })
        })
    }
}

impl Judge for Hooks {
    fn questions(&self) -> Questions {
        Arc::clone(&self.figures)
    }

    fn judges_logins(&self) -> bool {
        self.hooks.contains_key(&HookKind::AuthorizeLogin)
    }

    fn judge_login(&self, user_id: Option<&UserId>, address: Option<IpAddr>) -> Verdict {
        let user_id = user_id.map(UserId::as_str);
        let kind = HookKind::AuthorizeLogin;
        match self.hooks.get(&kind) {
            Some(asked) => self.ask(asked, kind, &Question::new(kind, &self.app_id, user_id, address)),
            None => Box::pin(std::future::ready(Decision::Allow)),
        }
    }

    fn judges(&self, frame: &ClientFrame) -> bool {
        self.hook(frame).is_some()
    }

    fn judge(&self, frame: &ClientFrame, user_id: Option<&UserId>, address: Option<IpAddr>) -> Verdict {
        let (Some(asked), ClientFrame::Request { command, .. }) = (self.hook(frame), frame) else {
            return Box::pin(std::future::ready(Decision::Allow));
        };
        let user_id = user_id.map(UserId::as_str);
        let question = |kind| Question::new(kind, &self.app_id, user_id, address);
        let (kind, question) = match command {
            Command::JoinChannel(join) => {
                let kind = HookKind::AuthorizeJoin;
                (kind, Question { channel_id: Some(join.channel_id.as_str()), ..question(kind) })
            }
            Command::SendMessageToPeer(send) => {
                let kind = HookKind::FilterMessage;
                (kind, Question { peer_id: Some(send.peer_id.as_str()), ..question(kind).with(&send.message) })
            }
            Command::SendChannelMessage(send) => {
                let kind = HookKind::FilterMessage;
                (kind, Question { channel_id: Some(send.channel_id.as_str()), ..question(kind).with(&send.message) })
            }
            _ => return Box::pin(std::future::ready(Decision::Allow)),
        };
        debug!(%kind, "asking");
        self.ask(asked, kind, &question)
    }
}

impl<'a> Question<'a> {
    fn new(kind: HookKind, app_id: &'a AppId, user_id: Option<&'a str>, address: Option<IpAddr>) -> Self {
        Self {
            r#type: kind.as_str(),
            app_id: app_id.as_str(),
            user_id,
            channel_id: None,
            peer_id: None,
            text: None,
            bytes: None,
            address,
        }
    }

    fn with(self, message: &'a RtmMessage) -> Self {
        let bytes = match message {
            RtmMessage::Text(_) => None,
            RtmMessage::Binary(bytes) | RtmMessage::Value(bytes) => Some(BASE64_STANDARD.encode(bytes)),
            _ => None,
        };
        Self { text: message.as_text(), bytes, ..self }
    }
}

/// Counts an answer, or that there was none.
fn count(figures: &Questions, kind: HookKind, decided: &Result<Decision, String>, took: Duration) {
    let answer = match decided {
        Ok(Decision::Allow) => 0,
        Ok(Decision::Deny(_)) => 1,
        Ok(Decision::Text(_)) => 2,
        Ok(Decision::Undecided(_)) | Err(_) => 3,
    };
    let mut figures = figures.lock().unwrap_or_else(PoisonError::into_inner);
    let figures = figures.entry(kind.as_str()).or_default();
    figures.answers[answer] += 1;
    figures.took.add(took);
}

/// What an answer means.
fn decision(body: &[u8], kind: HookKind) -> Result<Decision, String> {
    let reply: Reply =
        serde_json::from_slice(body).map_err(|error| format!("its answer is not understood: {error}"))?;
    match reply {
        Reply { allow: Some(false), reason, .. } => Ok(Decision::Deny(reason.unwrap_or_default())),
        Reply { text: Some(text), .. } if kind == HookKind::FilterMessage => {
            if text.is_empty() || text.len() > MESSAGE_BYTES {
                return Err(format!("its text has {} bytes: 1 to {MESSAGE_BYTES} make a message", text.len()));
            }
            Ok(Decision::Text(Text::from(text)))
        }
        Reply { allow: Some(true), .. } => Ok(Decision::Allow),
        Reply { text: Some(_), .. } => {
            Err(format!("its answer has a text in place of a message's, which {} does not ask for", kind.as_str()))
        }
        _ if kind == HookKind::FilterMessage => Err("its answer says neither allow nor text".to_owned()),
        _ => Err("its answer does not say allow".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn hooks_stay_the_same_until_their_settings_or_files_are_others() {
        let directory = tempfile::tempdir().unwrap();
        let ca_file = directory.path().join("ca.pem");
        let renew = || {
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            std::fs::write(&ca_file, made.cert.pem()).unwrap();
        };
        renew();
        let app_id = AppId::new("0123456789abcdef0123456789abcdef").unwrap();
        let secret = super::super::WebhookSecret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let mut target = super::super::HookTarget::new("https://example.com/", vec![secret]);
        target.ca_file = Some(ca_file.clone());
        let mut config = HookConfig::new(app_id.clone());
        config.hooks = vec![Hook::new(HookKind::AuthorizeJoin, target, OnError::Deny)];
        let mut last = judges(vec![config.clone()], &Judges::new()).await.unwrap();
        let mut is_the_same = async |config: &HookConfig| {
            let next = judges(vec![config.clone()], &last).await.unwrap();
            let is_the_same = Arc::ptr_eq(&last[&app_id], &next[&app_id]);
            last = next;
            is_the_same
        };
        assert!(is_the_same(&config).await);
        renew();
        assert!(!is_the_same(&config).await, "another file in the same place");
        config.hooks[0].on_error = OnError::Allow;
        assert!(!is_the_same(&config).await, "another setting");
        assert!(is_the_same(&config).await);
    }

    #[test]
    fn only_clear_answers_decide() {
        let filter = |body: &str| decision(body.as_bytes(), HookKind::FilterMessage);
        assert_eq!(filter(r#"{"allow":true}"#), Ok(Decision::Allow));
        assert_eq!(filter(r#"{"allow":false,"reason":"rude"}"#), Ok(Decision::Deny("rude".to_owned())));
        assert_eq!(filter(r#"{"text":"h***"}"#), Ok(Decision::Text("h***".into())));
        assert_eq!(filter(r#"{"allow":false,"text":"h***"}"#), Ok(Decision::Deny(String::new())));
        let long = format!(r#"{{"text":"{}"}}"#, "x".repeat(MESSAGE_BYTES + 1));
        for body in ["", "{}", "[]", "yes", r#"{"allow":"true"}"#, r#"{"text":""}"#, &long] {
            assert!(filter(body).is_err(), "{body}");
        }
        assert!(decision(br#"{"text":"no use"}"#, HookKind::AuthorizeJoin).is_err());
    }
}
