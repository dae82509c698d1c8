//! The cluster, as this node sees it.

use std::time::Duration;

use rtm_core::MoveResult;

use super::{super::page::Page, Look, one};
use crate::cluster::ClusterFigures;

pub(super) fn add_cluster(
    page: &mut Page,
    figures: &ClusterFigures,
    lease_age: Option<Duration>,
    is_isolated: bool,
    projects: &[Look],
) {
    page.gauge(
        "rtm_cluster_lease_age_seconds",
        "Since this node sent the last renewal of its lease that was acknowledged",
        lease_age.map(|age| one(age.as_secs_f64())),
    );
    let mut moves: Vec<(MoveResult, u64)> = MoveResult::ALL.into_iter().map(|result| (result, 0)).collect();
    for (place, (_, count)) in projects.iter().flat_map(|it| it.counters.moves().enumerate()) {
        moves[place].1 += count;
    }
    page.counter(
        "rtm_cluster_sessions_moved",
        "Sessions that went from node to node, as this one has seen it",
        moves.into_iter().map(|(result, count)| (vec![("result", result.as_str().to_owned())], count as f64)),
    );
    page.gauge("rtm_cluster_epoch", "The number of the view that this node knows", [one(figures.epoch)]);
    page.gauge(
        "rtm_cluster_nodes",
        "Members of the cluster, as this node knows them",
        figures.nodes().map(|(state, count)| (vec![("state", state.to_owned())], count as f64)),
    );
    page.gauge("rtm_cluster_post_bytes", "What waits for other nodes to take it", [one(figures.post_bytes)]);
    let ([sent, received, refused], dropped) = (figures.parcels, figures.dropped);
    let parcels = [
        ("sent", "taken", sent),
        ("received", "taken", received),
        ("received", "refused", refused),
        ("received", "undecodable", dropped.undecodable),
        ("received", "other_life", dropped.for_another_life),
        ("received", "stranger", dropped.from_strangers),
    ];
    page.counter(
        "rtm_cluster_parcels",
        "What projects say to each other over nodes",
        parcels.map(|(direction, result, count)| {
            (vec![("direction", direction.to_owned()), ("result", result.to_owned())], count as f64)
        }),
    );
    page.gauge("rtm_cluster_isolated", "Whether this node is out of touch", [one(is_isolated)]);
}
