//! What a node says of itself to whoever looks at the cluster. Nothing is decided by it.

use rtm_core::cluster::NodeName;
use serde::{Deserialize, Serialize};

use super::{
    contact::Contact,
    names::{ABOUT, NODES, Names, escape, unescape},
    served::Served,
};

/// What a node says of itself every two seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct About {
    pub(crate) incarnation: u64,
    pub(crate) version: String,
    pub(crate) sessions: usize,
    #[serde(flatten)]
    pub(crate) contact: Contact,
    /// What it serves. Nodes of older versions do not say it.
    #[serde(default)]
    pub(crate) served: Option<Served>,
}

impl About {
    /// The subject of the key that has it.
    pub(crate) fn subject(names: &Names, node: &NodeName) -> String {
        names.key(NODES, format_args!("{ABOUT}.{}", escape(node.as_str())))
    }

    /// Whose key this is, if it is one of these.
    pub(crate) fn node(names: &Names, subject: &str) -> Option<NodeName> {
        let key = subject.strip_prefix(names.key(NODES, format_args!("{ABOUT}.")).as_str())?;
        NodeName::new(&unescape(key)?).ok()
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// What follows where an encoded one is larger than what NATS takes.
    pub(crate) fn too_large(bytes: usize, max_payload: usize) -> Option<String> {
        (bytes > max_payload).then(|| {
            format!(
                "NATS does not take what this node says of itself and its projects: it has {bytes} bytes, and max_payload is \
                 {max_payload}. The other nodes do not learn which projects this one serves, and serve none that is added: raise \
                 max_payload"
            )
        })
    }

    pub(crate) fn decode(value: &[u8]) -> Option<Self> {
        serde_json::from_slice(value).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nodes_of_other_versions_say_is_understood() {
        let of_before =
            br#"{"incarnation":7,"version":"0.1.0","sessions":3,"addresses":["127.0.0.1:7001"],"served":null}"#;
        let said = About::decode(of_before).unwrap();
        assert_eq!(said.contact.addresses, ["127.0.0.1:7001"]);
        assert!(said.contact.certificates.is_empty());
        let said = About::decode(br#"{"incarnation":7,"version":"0.1.0","sessions":3}"#).unwrap();
        assert_eq!(said.contact, Contact::default());
        assert_eq!(About::decode(&said.encode()), Some(said));
    }

    #[test]
    fn more_than_nats_takes_is_told_with_its_size() {
        assert_eq!(About::too_large(65_536, 65_536), None);
        let said = About::too_large(65_537, 65_536).unwrap();
        assert!(said.contains("has 65537 bytes, and max_payload is 65536"), "{said}");
    }
}
