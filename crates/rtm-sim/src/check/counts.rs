//! How many members channels have, as the servers of a cluster count them.

use std::collections::BTreeMap;

use rtm_codec::ChannelId;

use super::{Invariant, Verdict, fault};

/// What one server counts in a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MemberCount {
    pub(crate) server: String,
    pub(crate) channel_id: ChannelId,
    /// Members whose sessions it has.
    pub(crate) here: usize,
    /// Members that it believes to be on other servers.
    pub(crate) elsewhere: usize,
}

/// Whether all servers with members in a channel count as many as there are.
pub(super) fn check(counts: &[MemberCount]) -> Verdict {
    let mut members: BTreeMap<&ChannelId, usize> = BTreeMap::new();
    for count in counts {
        *members.entry(&count.channel_id).or_default() += count.here;
    }
    let is_wrong = |count: &&MemberCount| count.here > 0 && members[&count.channel_id] != count.here + count.elsewhere;
    match counts.iter().find(is_wrong) {
        Some(count) => {
            let detail = format!("{count:?}, and there are {} members", members[&count.channel_id]);
            Err(fault(Invariant::CountsAgree, detail))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_with_members_counts_all_of_them() {
        let count = |server: &str, here, elsewhere| MemberCount {
            server: server.to_owned(),
            channel_id: ChannelId::new("north").unwrap(),
            here,
            elsewhere,
        };
        // The third has only attributes, and need not know.
        assert!(check(&[count("n0", 1, 2), count("n1", 2, 1), count("n2", 0, 0)]).is_ok());
        for elsewhere in [0, 1, 3] {
            let fault = check(&[count("n0", 1, elsewhere), count("n1", 2, 1)]).unwrap_err();
            assert_eq!(fault.invariant, Invariant::CountsAgree, "{elsewhere}");
        }
    }
}
