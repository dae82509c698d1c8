//! A look at a cluster from outside: who is a member, and where somebody is.

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

use rtm_codec::{AppId, ChannelId, UserId};
use rtm_core::cluster::{LeaseEntry, NodeId, NodeName, Role, UserEntry, View, partition};

use super::{
    about::About,
    config::ClusterConfig,
    connection::try_once,
    denied::Denied,
    engine::{Engine, Kept, user_key},
    error::{ClusterError, ClusterErrorKind, NotDone},
    names::{NODE, NODES, Names, USERS, VIEW, unescape},
    requests::{NoAnswer, Requests},
};

/// Looks at a cluster without being a node of it.
#[derive(Debug)]
pub struct ClusterProbe {
    engine: Engine,
    names: Names,
    denied: Denied,
}

/// Who is in a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusterStatus {
    /// The number of the view: it rises with every change.
    pub epoch: u64,
    /// The members, and those that are on their way in, in the order of their names.
    pub nodes: Vec<NodeStatus>,
}

/// A node of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeStatus {
    /// Its name.
    pub node: NodeName,
    /// Which of its lives: it rises from one to the next.
    pub incarnation: u64,
    /// Where it stands.
    pub state: NodeState,
    /// The version of its server, if it has said it.
    pub version: Option<String>,
    /// How many sessions it had at last, if it has said it.
    pub sessions: Option<usize>,
    /// How long ago it renewed its lease, which it does every second.
    pub lease_age: Duration,
}

/// Where a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NodeState {
    /// It is on its way in.
    Joining,
    /// It is a member.
    Member,
    /// It is a member that is about to leave.
    Draining,
    /// It is a member that does not renew its lease: it is out of touch, or gone.
    Isolated,
}

/// Where a user or a channel is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Whereabouts {
    /// The node that gathers what is known of it.
    pub home: Option<NodeName>,
    /// The node that has the user's session.
    pub edge: Option<NodeName>,
}

impl ClusterStatus {
    /// Whether more than half of the members are in touch: only then can the others go on.
    #[must_use]
    pub fn has_majority(&self) -> bool {
        let members = self.nodes.iter().filter(|node| node.state != NodeState::Joining);
        let (all, isolated) =
            (members.clone().count(), members.filter(|node| node.state == NodeState::Isolated).count());
        all > 2 * isolated
    }
}

impl NodeState {
    /// Its name, in small letters.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Joining => "joining",
            Self::Member => "member",
            Self::Draining => "draining",
            Self::Isolated => "isolated",
        }
    }
}

impl ClusterProbe {
    /// Connects to the NATS of a cluster.
    ///
    /// # Errors
    ///
    /// [`ClusterError`], also where NATS cannot be reached, or there is no cluster of this name.
    pub async fn connect(config: &ClusterConfig) -> Result<Self, ClusterError> {
        let denied = Denied::new(&config.user());
        let client = try_once(config, "rtm cluster", &denied).await.map_err(now_or_never)?;
        let names = Names::new(config.name.as_str());
        let requests = Requests::new(client).await.map_err(|why| now_or_never(why.into()))?;
        let probe = Self { engine: Engine::new(requests, names.clone()), names, denied };
        probe.keys().await?;
        Ok(probe)
    }

    /// Who is in the cluster.
    ///
    /// # Errors
    ///
    /// [`ClusterError`] where NATS cannot say it for sure.
    pub async fn status(&self) -> Result<ClusterStatus, ClusterError> {
        let (keys, time) = self.keys().await?;
        let view = self.view().await?;
        let prefix = self.names.key(NODES, format_args!("{NODE}."));
        let keys = keys.iter().filter_map(|key| NodeName::new(&unescape(key.strip_prefix(&prefix)?)?).ok());
        let names: BTreeSet<_> = keys.chain(view.members().iter().map(|member| member.id.name.clone())).collect();
        let mut nodes = Vec::new();
        for name in names {
            nodes.extend(self.node(&view, name, time).await?);
        }
        Ok(ClusterStatus { epoch: view.epoch(), nodes })
    }

    /// Where a user is.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status), and [`ClusterErrorKind::NoProject`].
    pub async fn find_user(&self, app_id: &AppId, user_id: &UserId) -> Result<Whereabouts, ClusterError> {
        let view = self.view_with(app_id).await?;
        let subject = self.names.key(USERS, user_key(app_id, user_id));
        let kept = self.engine.read(USERS, &subject).await.map_err(|why| self.unanswered(&why))?;
        let entry = kept.and_then(|kept| UserEntry::decode(&kept.value?).ok());
        let edge =
            entry.map(|entry| entry.node.node_and_worker().0).filter(|node| view.has(node)).map(|node| node.name);
        Ok(Whereabouts { home: home(&view, app_id, user_id.as_str()), edge })
    }

    /// Where the home of a channel is.
    ///
    /// # Errors
    ///
    /// As [`find_user`](Self::find_user).
    pub async fn find_channel(&self, app_id: &AppId, channel_id: &ChannelId) -> Result<Whereabouts, ClusterError> {
        let view = self.view_with(app_id).await?;
        Ok(Whereabouts { home: home(&view, app_id, channel_id.as_str()), edge: None })
    }

    /// The keys of the bucket of nodes, and what time it is there.
    async fn keys(&self) -> Result<(Vec<String>, SystemTime), ClusterError> {
        self.engine.keys(NODES).await.map_err(|why| self.unanswered(&why))?.ok_or_else(|| self.missing())
    }

    async fn view(&self) -> Result<View, ClusterError> {
        let kept = self.engine.read(NODES, &self.names.key(NODES, VIEW)).await.map_err(|why| self.unanswered(&why))?;
        let value = kept.and_then(|kept| kept.value).ok_or_else(|| self.missing())?;
        View::decode(&value).map_err(|error| {
            ClusterError::new(
                ClusterErrorKind::TooOld,
                format!("the view of the cluster cannot be read: it is {error}"),
            )
        })
    }

    /// The view, unless all members say what they serve and this project is not among that.
    async fn view_with(&self, app_id: &AppId) -> Result<View, ClusterError> {
        let view = self.view().await?;
        for member in view.members() {
            let about = self.about(&member.id.name).await?;
            let served =
                about.filter(|about| about.incarnation == member.id.incarnation).and_then(|about| about.served);
            if served.is_none_or(|served| served.contains_key(app_id.as_str())) {
                return Ok(view);
            }
        }
        if view.members().is_empty() {
            return Ok(view);
        }
        let what = format!("no node of the cluster {} has the project {app_id}", self.names.cluster());
        Err(ClusterError::new(ClusterErrorKind::NoProject, what))
    }

    /// What a node says of itself.
    async fn about(&self, name: &NodeName) -> Result<Option<About>, ClusterError> {
        let kept = self.engine.read(NODES, &About::subject(&self.names, name)).await;
        let kept = kept.map_err(|why| self.unanswered(&why))?;
        Ok(kept.and_then(|kept| About::decode(&kept.value?)))
    }

    async fn node(&self, view: &View, name: NodeName, time: SystemTime) -> Result<Option<NodeStatus>, ClusterError> {
        let lease = self.names.key(NODES, format_args!("{NODE}.{}", super::names::escape(name.as_str())));
        let lease = self.engine.read(NODES, &lease).await.map_err(|why| self.unanswered(&why))?;
        let about = self.about(&name).await?;
        let entry = lease.as_ref().and_then(|kept| LeaseEntry::decode(kept.value.as_ref()?).ok());
        let lease_age =
            lease.as_ref().and_then(Kept::time).map_or(Duration::MAX, |at| time.duration_since(at).unwrap_or_default());
        let member = view.members().iter().find(|member| member.id.name == name);
        let lives =
            |id: &NodeId| matches!(&entry, Some(LeaseEntry::Lease(lease)) if lease.incarnation == id.incarnation);
        let (incarnation, state) = match (member, &entry) {
            (Some(member), _) => {
                let is_here = lives(&member.id) && lease_age < LEASE_IS_OLD;
                let state = match member.role {
                    _ if !is_here => NodeState::Isolated,
                    Role::Draining => NodeState::Draining,
                    Role::Edge | Role::Home => NodeState::Member,
                };
                (member.id.incarnation, state)
            }
            (None, Some(LeaseEntry::Lease(lease))) if lease_age < LEASE_IS_OLD => {
                (lease.incarnation, NodeState::Joining)
            }
            _ => return Ok(None),
        };
        let about = about.filter(|about| about.incarnation == incarnation);
        let (version, sessions) = about.map_or((None, None), |about| (Some(about.version), Some(about.sessions)));
        Ok(Some(NodeStatus { node: name, incarnation, state, version, sessions, lease_age }))
    }

    fn missing(&self) -> ClusterError {
        let what = format!("there is no cluster {} on this NATS", self.names.cluster());
        ClusterError::new(ClusterErrorKind::Streams, what)
    }

    fn unanswered(&self, why: &NoAnswer) -> ClusterError {
        if let Some(error) = self.denied.error() {
            return error;
        }
        let what = match why {
            NoAnswer::Refused(_) => return ClusterError::new(ClusterErrorKind::Refused, why.to_string()),
            NoAnswer::NoResponders(_) => {
                "JetStream has no leader for the cluster's buckets: more than half of its servers are away"
            }
            NoAnswer::NotConnected | NoAnswer::TimedOut | NoAnswer::NotSent(_) => "JetStream does not answer",
        };
        ClusterError::new(ClusterErrorKind::Unreachable, what)
    }
}

fn home(view: &View, app_id: &AppId, name: &str) -> Option<NodeName> {
    view.home(partition(app_id.as_str(), name)).map(|member| member.id.name.clone())
}

fn now_or_never(error: NotDone) -> ClusterError {
    match error {
        NotDone::Never(error) => error,
        NotDone::NotNow(what) => ClusterError::new(ClusterErrorKind::Unreachable, what),
    }
}

/// A lease that was not renewed for so long is that of a node that is not certain of its place.
const LEASE_IS_OLD: Duration = Duration::from_secs(4);
