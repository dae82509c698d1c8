//! The users that somebody needs: they have a session, are watched, or take part in an invitation.

use foldhash::fast::FixedState;
use indexmap::IndexSet;
use rtm_codec::UserId;

use super::{
    Core,
    arena::{InvitationKey, SessionKey, UserKey},
    directory::{Directory, Named},
};

/// One user.
#[derive(Debug)]
pub(super) struct User {
    pub(super) id: UserId,
    pub(super) session: Option<SessionKey>,
    /// The sessions that are subscribed to its online state.
    pub(super) watchers: IndexSet<SessionKey, FixedState>,
    /// The open invitations that it takes part in, as caller or callee.
    pub(super) invitations: Vec<InvitationKey>,
}

impl Named for User {
    type Name = UserId;

    fn name(&self) -> &UserId {
        &self.id
    }
}

impl Directory<UserKey, User> {
    /// The user of that name, made if nobody needed it before.
    pub(super) fn intern(&mut self, id: &UserId) -> UserKey {
        self.find(id).unwrap_or_else(|| {
            let watchers = IndexSet::with_hasher(self.hasher.clone());
            self.insert(User { id: id.clone(), session: None, watchers, invitations: Vec::new() })
        })
    }

    /// Forgets the user if nobody needs it any more.
    pub(super) fn release(&mut self, key: UserKey) {
        let is_needed =
            |user: &User| user.session.is_some() || !user.watchers.is_empty() || !user.invitations.is_empty();
        if !self.get(key).is_none_or(is_needed) {
            self.remove(key);
        }
    }
}

impl Core {
    #[inline]
    pub(super) fn user_id(&self, user: UserKey) -> Option<UserId> {
        self.users.get(user).map(|user| user.id.clone())
    }

    /// Whose session it is.
    #[inline]
    pub(super) fn user_id_of(&self, key: SessionKey) -> Option<UserId> {
        self.user_id(self.hub.sessions.get(key)?.user)
    }

    /// The session that a user has.
    #[inline]
    pub(super) fn session_of(&self, user_id: &UserId) -> Option<SessionKey> {
        self.users.get(self.users.find(user_id)?)?.session
    }
}
