//! Between the cores of a node's projects and its post: which parcel is for which core, and whose tickets are settled.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

use rtm_codec::AppId;

use super::{
    envelope::{Parcel, Priority},
    node::Node,
    post::{NotSent, PostEvent, Settled, Ticket},
    project::{Posted, Posting, ProjectParcel},
    view::NodeId,
};

/// Something for the core of a project.
#[derive(Debug, Clone, PartialEq)]
pub enum ForCore {
    /// The same project on another node says something: [`Core::handle_parcel`](crate::Core::handle_parcel).
    Parcel {
        /// Which project.
        app_id: AppId,
        /// Whose core says it.
        from: NodeId,
        /// What.
        parcel: ProjectParcel,
    },
    /// What became of a parcel: [`Core::handle_posted`](crate::Core::handle_posted).
    Posted {
        /// Which project.
        app_id: AppId,
        /// The ticket that its core gave out.
        ticket: Ticket,
        /// What became of it.
        posted: Posted,
    },
    /// The post from a node began anew: every project is to find out what it missed.
    Restarted {
        /// Which node.
        from: NodeId,
    },
}

/// Carries what the cores of a node's projects say to the node's post, and back.
#[derive(Debug, Default)]
pub struct Router {
    next: u64,
    tickets: BTreeMap<Ticket, (AppId, Ticket)>,
    out: VecDeque<ForCore>,
    refused: u64,
}

impl Router {
    /// A core has this to say. What no box takes is settled at once, or is news that its receiver is to ask for again.
    pub fn post(&mut self, node: &mut Node, now: Instant, app_id: &AppId, posting: Posting) {
        let Posting { to, parcel, ticket } = posting;
        let number = ticket.map(|_| {
            self.next += 1;
            Ticket(self.next)
        });
        let sent = node.send(now, &to, PROJECTS, parcel.seal(app_id), number);
        match (sent, number, ticket) {
            (Ok(()), Some(number), Some(ticket)) => {
                self.tickets.insert(number, (app_id.clone(), ticket));
            }
            (Err(why), _, Some(ticket)) => {
                let posted = if why == NotSent::Left { Posted::Left } else { Posted::Dropped };
                self.out.push_back(ForCore::Posted { app_id: app_id.clone(), ticket, posted });
            }
            (Err(NotSent::Full | NotSent::TooLarge), _, None) => node.reset(now, &to, PROJECTS),
            (Err(NotSent::Left), _, None) | (Ok(()), _, _) => {}
        }
    }

    /// Something came by post. A parcel that cannot be read is counted, and its sender begins anew.
    pub fn handle(&mut self, node: &mut Node, now: Instant, event: PostEvent) {
        match event {
            PostEvent::Received { from, priority, parcel: Parcel::Project { app_id, head, body } } => {
                match ProjectParcel::open(&head, body) {
                    Ok(parcel) => self.out.push_back(ForCore::Parcel { app_id, from, parcel }),
                    Err(_) => {
                        self.refused += 1;
                        node.refuse(now, &from, priority);
                    }
                }
            }
            PostEvent::Settled(number, settled) => {
                if let Some((app_id, ticket)) = self.tickets.remove(&number) {
                    let posted = match settled {
                        Settled::Taken => Posted::Taken,
                        Settled::Left => Posted::Left,
                        Settled::Reset => Posted::Dropped,
                    };
                    self.out.push_back(ForCore::Posted { app_id, ticket, posted });
                }
            }
            PostEvent::Restarted { from, .. } => self.out.push_back(ForCore::Restarted { from }),
            PostEvent::Refused { .. } | PostEvent::Condition(..) => {}
        }
    }

    /// The next thing for a core.
    pub fn take(&mut self) -> Option<ForCore> {
        self.out.pop_front()
    }

    /// How many parcels could not be read.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// The node is no member any more: nobody waits for anything.
    pub fn clear(&mut self) {
        self.tickets.clear();
        self.out.clear();
    }
}

/// All that cores say stays in order.
const PROJECTS: Priority = Priority::Bulk;
