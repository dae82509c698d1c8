//! A core that leaves its cluster: what it has is void, and it tells nobody.

use rtm_codec::CloseReason;

use super::{Core, Now, kept_subscriptions::KeptSubscriptions};

impl Core {
    /// This node is not in the view any more: all that this core knows of users, channels and calls is void, and others go
    /// on without it. All connections are closed with [`CloseReason::Draining`], so that their clients come back: those that
    /// come here before the core has [joined](Self::join_cluster) again are sent away too. Nobody else is told anything, and what
    /// is still to be answered by the store, the engine or the post is passed over when it comes.
    ///
    /// Counters and the counts of logins stay. Channels, kept subscriptions and what is refused to users come again with
    /// [`restore`](Self::restore).
    pub fn leave_cluster(&mut self, now: Now) {
        let now = self.time(now);
        let Some(edge) = self.edge.take() else { return };
        self.numbers = edge.numbers();
        self.hub.settings = self.config.settings;
        self.is_outside = true;
        self.logins.forget_waiting();
        self.hub.forget_sessions(now, CloseReason::Draining);
        self.users.clear();
        self.channels.clear();
        self.channel_attribute_bytes = 0;
        self.invitations.clear();
        self.writes.forget();
        self.subscriptions = KeptSubscriptions::default();
        self.jobs.forget();
        self.restrictions.forget();
        self.forget_event_log();
        self.forget_stored_bytes();
        self.forget_requests();
        self.forget_admin_calls();
    }
}
