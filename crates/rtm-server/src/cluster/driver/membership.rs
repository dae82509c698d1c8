//! What a node does when something about its membership has changed.

use std::mem;

use rtm_core::cluster::{Left, MembershipEvent, NodeName, View};
use tokio::task::AbortHandle;
use tracing::{error, info, warn};

use super::{Driver, Input, Place};
use crate::{
    cluster::{
        error::{ClusterError, ClusterErrorKind},
        others::find_member,
    },
    link::FromCluster,
    project::now,
};

impl Driver {
    /// Something about membership. Says whether the node is over.
    pub(super) fn membership(&mut self, event: MembershipEvent) -> bool {
        self.sort();
        match event {
            MembershipEvent::View(view) => {
                self.tell_members(&view);
                let me = self.gear.node.id().clone();
                self.gear.bus.retain(|node| view.has(node));
                let has_joined = !mem::replace(&mut self.is_member, true);
                let by_worker = view.by_worker();
                for (number, events) in (0..self.gear.workers).cycle().zip(&mut self.for_projects) {
                    let view = by_worker.clone();
                    events.push(if has_joined {
                        FromCluster::Joined(me.worker(number), view)
                    } else {
                        FromCluster::View(view)
                    });
                }
                if has_joined {
                    self.permit(now());
                    self.hand_over();
                    self.watch_users();
                    self.watch_attributes();
                    self.restore();
                }
                self.stand_as_member();
                self.open_projects();
            }
            MembershipEvent::LeftOut(why) => {
                self.is_member = false;
                self.search.take().inspect(AbortHandle::abort);
                self.users_watch.take().inspect(AbortHandle::abort);
                self.attributes_watch.take().inspect(AbortHandle::abort);
                self.restoring.take().inspect(AbortHandle::abort);
                self.router.clear();
                for events in &mut self.for_projects {
                    events.push(FromCluster::LeftOut);
                }
                self.permit(now());
                self.hand_over();
                match why {
                    Left::Asked => {
                        info!("left the cluster");
                        self.stand(Place::Left);
                        return true;
                    }
                    Left::PutOut => {
                        error!("the others went on without this node: its clients are sent away, and it joins anew");
                    }
                    Left::GaveUp => warn!("out of touch with NATS for too long: this node joins anew when it can"),
                }
                self.stand(Place::Joining);
            }
            MembershipEvent::Isolated => {
                warn!("out of touch with NATS: only what stays on this node goes on");
                self.stand(Place::Isolated);
            }
            MembershipEvent::Reachable => {
                info!("in touch with NATS again");
                self.search.take().inspect(AbortHandle::abort);
                self.stand_as_member();
            }
            MembershipEvent::IsolatedTooLong => {
                warn!("still out of touch with NATS: clients stay unless another node is a member and in touch");
                self.search_for_others();
            }
            MembershipEvent::TooOld { proto } => {
                let what =
                    format!("all members of the cluster speak version {proto}, which this server is too old for");
                self.is_refused(ClusterError::new(ClusterErrorKind::TooOld, what));
                return true;
            }
            MembershipEvent::NameTaken => {
                let name = &self.gear.node.id().name;
                let what = format!("another server is in the cluster as {name}: give this one another name (--node)");
                self.is_refused(ClusterError::new(ClusterErrorKind::NameTaken, what));
                return true;
            }
        }
        false
    }

    /// The node cannot join. At the start whoever started it is told so.
    fn is_refused(&mut self, error: ClusterError) {
        if !self.members.is_empty() {
            error!("this node cannot join the cluster again, and ends: {error}");
        }
        self.stand(Place::Refused(error));
    }

    /// Looks for a node that is better off than this one.
    fn search_for_others(&mut self) {
        let view = self.gear.node.view();
        let me = &self.gear.node.id().name;
        let is_other = |name: &NodeName| name != me && view.members().iter().any(|member| member.id.name == *name);
        let mut others = self.contacts.clone();
        others.retain(|name, _| is_other(name));
        let input = self.input.clone();
        let search = tokio::spawn(async move {
            let node = find_member(others).await;
            let _ = input.send(Input::OthersGoOn(node));
        });
        self.search = Some(search.abort_handle());
    }

    /// Says who is a member, when that has changed.
    fn tell_members(&mut self, view: &View) {
        let members: Vec<_> = view.members().iter().map(|member| member.id.clone()).collect();
        if members != self.members {
            let names: Vec<_> = members.iter().map(|id| id.name.as_str()).collect();
            info!(epoch = view.epoch(), "the cluster's members are {}", names.join(", "));
            self.members = members;
            // Whoever asks for all nodes is to ask these.
            self.said_at = None;
        }
    }
}
