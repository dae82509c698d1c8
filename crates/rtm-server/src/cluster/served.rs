//! Which projects a node serves, and on which terms. All nodes of a cluster are to serve the same.

use std::collections::BTreeMap;

use rtm_core::ProjectConfig;
use rtm_token::Certificate;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// What a node serves: the terms of each project, by its App ID.
pub(crate) type Served = BTreeMap<String, Terms>;

/// The terms of a project, so far as to see whether two nodes have the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Terms {
    certificates: String,
    limits: String,
    settings: String,
}

impl Terms {
    pub(crate) fn new(config: &ProjectConfig) -> Self {
        let mut certificates: Vec<String> = config.certificates.iter().map(Certificate::fingerprint).collect();
        certificates.sort_unstable();
        Self {
            certificates: certificates.join(" "),
            limits: digest(&format!("{:?}", config.limits)),
            settings: digest(&format!("{:?} {:?}", config.settings, config.token_policy)),
        }
    }
}

/// In what another node differs from this one, in words.
pub(crate) fn differences(own: &Served, other: &Served) -> Vec<String> {
    let mut all = Vec::new();
    for (app_id, own) in own {
        let Some(other) = other.get(app_id) else {
            all.push(format!("it does not serve the project {app_id}"));
            continue;
        };
        for (what, own, other) in [
            ("certificates", &own.certificates, &other.certificates),
            ("limits", &own.limits, &other.limits),
            ("settings", &own.settings, &other.settings),
        ] {
            if own != other {
                all.push(format!("it has other {what} for the project {app_id}"));
            }
        }
    }
    let more = other.keys().filter(|app_id| !own.contains_key(*app_id));
    all.extend(more.map(|app_id| format!("it also serves the project {app_id}")));
    all
}

fn digest(text: &str) -> String {
    Sha256::digest(text).iter().take(DIGEST_BYTES).map(|byte| format!("{byte:02x}")).collect()
}

/// Enough to tell apart what operators write.
const DIGEST_BYTES: usize = 4;

#[cfg(test)]
mod tests {
    use rtm_core::ProjectConfig;

    use super::{Served, Terms, differences};

    const APP_IDS: [&str; 2] = ["0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"];

    type Change = fn(&mut ProjectConfig);

    fn served(app_ids: &[&str], change: impl Fn(&mut ProjectConfig)) -> Served {
        let terms = |app_id: &&str| {
            let mut config = ProjectConfig::new(app_id.parse().unwrap());
            change(&mut config);
            ((*app_id).to_owned(), Terms::new(&config))
        };
        app_ids.iter().map(terms).collect()
    }

    #[test]
    fn nodes_that_serve_the_same_do_not_differ() {
        let certificates = ["5CFd2fd1755d40ecb72977518be15d3b", "1CFd2fd1755d40ecb72977518be15d3b"];
        let both = |order: [usize; 2]| {
            served(&APP_IDS, |config| config.certificates = order.map(|at| certificates[at].parse().unwrap()).to_vec())
        };
        assert_eq!(differences(&both([0, 1]), &both([1, 0])), Vec::<String>::new());
    }

    #[test]
    fn each_difference_is_named() {
        let [first, second] = APP_IDS;
        let usual = served(&APP_IDS[..1], |_| ());
        let both = served(&APP_IDS, |_| ());
        assert_eq!(differences(&usual, &both), [format!("it also serves the project {second}")]);
        assert_eq!(differences(&both, &usual), [format!("it does not serve the project {second}")]);
        let changes: [(&str, Change); 3] = [
            ("certificates", |config| config.certificates.push("5CFd2fd1755d40ecb72977518be15d3b".parse().unwrap())),
            ("limits", |config| config.limits = rtm_codec::CallLimits::unlimited()),
            ("settings", |config| config.settings.open_invitations += 1),
        ];
        for (what, change) in changes {
            let other = served(&APP_IDS[..1], change);
            assert_eq!(differences(&usual, &other), [format!("it has other {what} for the project {first}")]);
        }
    }
}
