//! Whether another node of the cluster can be reached past NATS, and is a member: then clients are better off there.

use std::{collections::BTreeMap, time::Duration};

use rtm_core::cluster::NodeName;
use tokio::time::{Instant, sleep, timeout};

use super::contact::Contact;

/// Asks one after the other at their addresses, until one has said for a while that it is a member and in touch.
pub(crate) async fn find_member(nodes: BTreeMap<NodeName, Contact>) -> NodeName {
    let mut since: Option<Instant> = None;
    loop {
        match look_for_member(&nodes).await {
            Some(name) if since.get_or_insert_with(Instant::now).elapsed() >= CERTAIN_AFTER => return name,
            Some(_) => {}
            None => since = None,
        }
        sleep(PAUSE).await;
    }
}

async fn look_for_member(nodes: &BTreeMap<NodeName, Contact>) -> Option<NodeName> {
    for (name, contact) in nodes {
        for address in &contact.addresses {
            let answer = timeout(ANSWER, contact.ask(address, "/readyz", ANSWER_BYTES)).await;
            if matches!(answer, Ok(Ok(answer)) if is_of_member(&answer)) {
                return Some(name.clone());
            }
        }
    }
    None
}

/// A node that is certain of its place answers with 200, or names what else is wrong with it: the cluster goes on all the same.
fn is_of_member(answer: &str) -> bool {
    let Some((head, body)) = answer.split_once("\r\n\r\n") else { return false };
    let is_out = ["\"cluster\"", "\"draining\""].iter().any(|reason| body.contains(reason));
    head.starts_with("HTTP/1.1 200 ") || (body.starts_with("{\"ready\":false,") && !is_out)
}

const ANSWER_BYTES: u64 = 4096;
const ANSWER: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_secs(1);
/// When NATS comes back, it does not come to all nodes at once.
const CERTAIN_AFTER: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::readiness;

    #[test]
    fn a_member_is_known_by_what_it_says_of_itself() {
        let answer = |status: &str, body: &str| is_of_member(&format!("HTTP/1.1 {status}\r\nx: y\r\n\r\n{body}"));
        assert!(answer("200 OK", &readiness(&[])));
        assert!(answer("503 Service Unavailable", &readiness(&["tls", "memory"])), "it is in touch");
        for out in [&["cluster"][..], &["draining"], &["store", "cluster"]] {
            assert!(!answer("503 Service Unavailable", &readiness(out)), "{out:?}");
        }
        for (status, body) in [("503 Service Unavailable", "no server is there"), ("404 Not Found", ""), ("2000", "")] {
            assert!(!answer(status, body), "{status}");
        }
        assert!(!is_of_member("HTTP/1.1 200 OK"), "it is cut off");
    }
}
