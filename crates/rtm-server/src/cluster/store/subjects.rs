//! The streams of the store, and the subject of each log and of each key in them.

use rtm_codec::AppId;
use rtm_core::store::{LogKey, LogKind, StateKey, StateKind};

use crate::cluster::names::{Names, escape, unescape};

/// The names of a cluster's streams. A subject is the name of its stream, then tokens for the project and the rest of the key.
#[derive(Debug, Clone)]
pub(crate) struct Subjects {
    mail: String,
    history: String,
    events: String,
    state: String,
}

impl Subjects {
    pub(crate) fn new(names: &Names) -> Self {
        Self {
            mail: names.bucket("mail"),
            history: names.bucket("history"),
            events: names.bucket("events"),
            state: names.bucket("state"),
        }
    }

    /// The stream of all logs of a kind.
    pub(crate) fn log_stream(&self, kind: LogKind) -> &str {
        match kind {
            LogKind::Stored => &self.mail,
            LogKind::History => &self.history,
            LogKind::Events => &self.events,
        }
    }

    /// The stream of all state.
    pub(crate) fn state_stream(&self) -> &str {
        &self.state
    }

    /// All streams.
    pub(crate) fn streams(&self) -> [&str; 4] {
        [&self.mail, &self.history, &self.events, &self.state]
    }

    /// The subject of a log.
    pub(crate) fn log(&self, app_id: &AppId, log: &LogKey) -> String {
        format!("{}.{}.{}", self.log_stream(log.kind()), escape(app_id.as_str()), tokens(&log.to_text()))
    }

    /// All logs of a kind of a project.
    pub(crate) fn logs_of(&self, app_id: &AppId, kind: LogKind) -> String {
        format!("{}.{}.>", self.log_stream(kind), escape(app_id.as_str()))
    }

    /// The subject of a key.
    pub(crate) fn key(&self, app_id: &AppId, key: &StateKey) -> String {
        let (app, kind) = (escape(app_id.as_str()), key.kind().name());
        format!("{}.{kind}.{app}.{}", self.state, tokens(&key.to_text()))
    }

    /// All keys of a kind of a project, or of all projects.
    pub(crate) fn keys_of(&self, app_id: Option<&AppId>, kind: StateKind) -> String {
        let (state, kind) = (&self.state, kind.name());
        match app_id {
            Some(app_id) => format!("{state}.{kind}.{}.>", escape(app_id.as_str())),
            None => format!("{state}.{kind}.>"),
        }
    }

    /// Where it is said up to which sequence a project's logs have entries that came long after their time.
    pub(crate) fn late(&self, app_id: &AppId, kind: LogKind) -> String {
        format!("{}.late_{}.{}", self.state, kind.name(), escape(app_id.as_str()))
    }

    /// Where it is said up to which sequence entries of a project's logs went.
    pub(crate) fn dropped(&self, app_id: &AppId, kind: LogKind) -> String {
        format!("{}.dropped_{}.{}", self.state, kind.name(), escape(app_id.as_str()))
    }

    /// The project and log of a subject.
    pub(crate) fn read_log(&self, kind: LogKind, subject: &str) -> Option<(AppId, LogKey)> {
        let rest = subject.strip_prefix(self.log_stream(kind))?.strip_prefix('.')?;
        let (app, key) = rest.split_once('.')?;
        Some((AppId::new(unescape(app)?).ok()?, LogKey::from_text(kind, &text(key)?).ok()?))
    }

    /// The project and key of a subject.
    pub(crate) fn read_key(&self, kind: StateKind, subject: &str) -> Option<(AppId, StateKey)> {
        let rest = subject.strip_prefix(&self.state)?.strip_prefix('.')?;
        let rest = rest.strip_prefix(kind.name())?.strip_prefix('.')?;
        let (app, key) = rest.split_once('.')?;
        Some((AppId::new(unescape(app)?).ok()?, StateKey::from_text(kind, &text(key)?).ok()?))
    }
}

/// The text of a key, each part of it a token.
fn tokens(key: &str) -> String {
    key.split('\0').map(escape).collect::<Vec<_>>().join(".")
}

fn text(tokens: &str) -> Option<String> {
    Some(tokens.split('.').map(unescape).collect::<Option<Vec<_>>>()?.join("\0"))
}

#[cfg(test)]
mod tests {
    use rtm_codec::{ChannelId, InstanceId, UserId};
    use rtm_core::store::Conversation;

    use super::*;

    fn subjects() -> Subjects {
        Subjects::new(&Names::new("main"))
    }

    fn app() -> AppId {
        AppId::new("0123456789abcdef0123456789abcdef").unwrap()
    }

    #[test]
    fn every_log_has_a_subject_of_its_own_that_says_which_it_is() {
        let user = |id: &str| UserId::new(id).unwrap();
        let logs = [
            LogKey::Stored(user("a.b >c")),
            LogKey::Stored(user("a")),
            LogKey::History(Conversation::between(user("c"), user("a.b"))),
            LogKey::History(Conversation::Channel(ChannelId::new("c.a").unwrap())),
            LogKey::Events,
        ];
        let subject = subjects().log(&app(), &logs[0]);
        assert_eq!(subject, "rtm_main_mail.0123456789abcdef0123456789abcdef.a=2Eb=20=3Ec");
        let subject = subjects().log(&app(), &logs[2]);
        assert_eq!(subject, "rtm_main_history.0123456789abcdef0123456789abcdef.p.a=2Eb.c");
        for log in logs {
            assert_eq!(subjects().read_log(log.kind(), &subjects().log(&app(), &log)), Some((app(), log)));
        }
        for subject in ["", "rtm_main_mail.x.y", "rtm_main_mail", "rtm_main_history.0123456789abcdef0123456789abcdef.x"]
        {
            assert_eq!(subjects().read_log(LogKind::Stored, subject), None, "{subject:?}");
        }
    }

    #[test]
    fn every_key_has_a_subject_of_its_own_that_says_which_it_is() {
        let keys = [
            StateKey::ChannelAttributes(ChannelId::new("hall.1").unwrap()),
            StateKey::ForgottenRevision,
            StateKey::Subscriptions(UserId::new("a.b").unwrap(), InstanceId::new("phone").unwrap()),
            StateKey::Restrictions(Some(UserId::new("all").unwrap())),
            StateKey::Restrictions(None),
            StateKey::EventCursor("a.b >c".to_owned()),
        ];
        for key in keys {
            assert_eq!(subjects().read_key(key.kind(), &subjects().key(&app(), &key)), Some((app(), key)));
        }
        let late = subjects().late(&app(), LogKind::History);
        assert!(StateKind::ALL.iter().all(|kind| subjects().read_key(*kind, &late).is_none()));
    }
}
