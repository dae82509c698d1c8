//! What the program that a server is part of does to users: kicks, bans, revoked tokens, data that are removed.

use std::time::{Duration, SystemTime};

use rtm_codec::{AppId, UserId};
use rtm_core::{AdminAnswer, AdminCall, DeletedData, Restriction};

use super::Server;
use crate::{error::NotChanged, project::now};

impl Server {
    /// Ends a user's session and refuses its logins for this time; [`Duration::MAX`] is for ever. The store keeps it, and in a
    /// cluster every node knows it when this returns.
    ///
    /// # Errors
    ///
    /// [`NotChanged`]. The user is not banned then, or in a cluster that is not known.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not take back what it began.
    pub async fn ban(&self, app_id: &AppId, user_id: &UserId, how_long: Duration) -> Result<(), NotChanged> {
        let how_long = u64::try_from(how_long.as_millis()).unwrap_or(u64::MAX);
        let restriction = Restriction::BannedUntil(now().unix_ms.saturating_add(how_long));
        self.restrict(app_id, Some(user_id), restriction).await.map(drop)
    }

    /// Lets a banned user log in again. Returns whether the user was banned.
    ///
    /// # Errors
    ///
    /// [`NotChanged`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not take back what it began.
    pub async fn unban(&self, app_id: &AppId, user_id: &UserId) -> Result<bool, NotChanged> {
        self.restrict(app_id, Some(user_id), Restriction::Unbanned).await
    }

    /// Refuses a user's tokens that were issued before a time, or those of all users of a project, and ends the sessions that
    /// use them. Tokens say in whole seconds when they were issued. An earlier time than before makes good again what
    /// was issued since; [`SystemTime::UNIX_EPOCH`] everything.
    ///
    /// # Errors
    ///
    /// [`NotChanged`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not take back what it began.
    pub async fn revoke_tokens(
        &self,
        app_id: &AppId,
        user_id: Option<&UserId>,
        issued_before: SystemTime,
    ) -> Result<(), NotChanged> {
        let since = issued_before.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let from = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        self.restrict(app_id, user_id, Restriction::TokensFrom(from)).await.map(drop)
    }

    /// Ends a user's session. Its client does not come back by itself, but may log in again. Returns whether there was one.
    ///
    /// # Errors
    ///
    /// [`NotChanged`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not take back what it began.
    pub async fn kick(&self, app_id: &AppId, user_id: &UserId) -> Result<bool, NotChanged> {
        let answer = self.operate(app_id, Some(user_id), AdminCall::Kick(user_id.clone())).await?;
        Ok(answer == AdminAnswer::Kicked { had_session: true })
    }

    /// Removes what is kept of a user: messages that wait for it, messages in histories that it sent, its subscriptions and
    /// its attributes. Returns how much that was. Messages that it sent and that wait for others are theirs.
    ///
    /// # Errors
    ///
    /// [`NotChanged`]. Some of it may be gone.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not take back what it began.
    pub async fn delete_data(&self, app_id: &AppId, user_id: &UserId) -> Result<DeletedData, NotChanged> {
        match self.operate(app_id, Some(user_id), AdminCall::DeleteData(user_id.clone())).await? {
            AdminAnswer::Deleted(deleted) => Ok(deleted),
            _ => Ok(DeletedData::default()),
        }
    }

    async fn restrict(
        &self,
        app_id: &AppId,
        user_id: Option<&UserId>,
        restriction: Restriction,
    ) -> Result<bool, NotChanged> {
        let call = AdminCall::Restrict { user_id: user_id.cloned(), restriction };
        let answer = self.operate(app_id, user_id, call).await?;
        Ok(answer == AdminAnswer::Restricted { changed: true })
    }

    async fn operate(
        &self,
        app_id: &AppId,
        user_id: Option<&UserId>,
        call: AdminCall,
    ) -> Result<AdminAnswer, NotChanged> {
        let project = self.shared.project(app_id, user_id).ok_or(NotChanged::NoProject)?;
        project.admin(call).await.map_err(|refusal| NotChanged::Failed(refusal.detail.as_str().into()))
    }
}
