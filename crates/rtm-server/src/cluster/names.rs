//! The names of a cluster's subjects, streams and keys. Ids in them are escaped.

use std::fmt::{self, Write as _};

use rtm_core::cluster::{EngineKey, NodeName};

/// What the names of a cluster begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    cluster: String,
}

impl Names {
    /// The names of the cluster with this name.
    pub(crate) fn new(cluster: &str) -> Self {
        Self { cluster: cluster.to_owned() }
    }

    /// The name of the cluster.
    pub(crate) fn cluster(&self) -> &str {
        &self.cluster
    }

    /// A key-value bucket.
    pub(crate) fn bucket(&self, what: &str) -> String {
        format!("rtm_{}_{what}", self.cluster)
    }

    /// The subject of a key in a bucket. The key's parts are escaped already.
    pub(crate) fn key(&self, bucket: &str, key: impl fmt::Display) -> String {
        format!("$KV.rtm_{}_{bucket}.{key}", self.cluster)
    }

    /// The subject of a key of membership.
    pub(crate) fn engine_key(&self, key: &EngineKey) -> String {
        match key {
            EngineKey::View => self.key(NODES, VIEW),
            EngineKey::Node(name) => self.key(NODES, format_args!("{NODE}.{}", escape(name.as_str()))),
        }
    }

    /// The subject at which a node hears what goes ahead of everything else.
    pub(crate) fn urgent(&self, name: &NodeName) -> String {
        format!("rtm.{}.urgent.{}", self.cluster, escape(name.as_str()))
    }

    /// The subject at which it hears all other things.
    pub(crate) fn bulk(&self, name: &NodeName) -> String {
        format!("rtm.{}.node.{}", self.cluster, escape(name.as_str()))
    }

    /// The subject of calls that other nodes pass on to it.
    #[cfg_attr(not(feature = "admin"), expect(dead_code, reason = "nobody calls"))]
    pub(crate) fn calls(&self, name: &NodeName) -> String {
        format!("rtm.{}.calls.{}", self.cluster, escape(name.as_str()))
    }
}

/// The bucket of leases and of the view.
pub(crate) const NODES: &str = "nodes";
/// The bucket that says where each user's session is.
pub(crate) const USERS: &str = "users";
/// In the bucket of nodes: the view, and what the keys of leases and of what nodes say of themselves begin with.
pub(crate) const VIEW: &str = "view";
pub(crate) const NODE: &str = "node";
pub(crate) const ABOUT: &str = "about";

/// An id as one token of a subject: letters, digits, `-` and `_` stand for themselves, every other byte is `=` and two
/// hexadecimal digits. No two ids give the same token.
pub(crate) fn escape(id: &str) -> String {
    let mut token = String::with_capacity(id.len());
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' {
            token.push(char::from(byte));
        } else {
            let _ = write!(token, "={byte:02X}");
        }
    }
    token
}

/// The id of a token; `None` if no id gives it.
pub(crate) fn unescape(token: &str) -> Option<String> {
    let mut id = Vec::with_capacity(token.len());
    let mut bytes = token.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'=' {
            let digits = [bytes.next()?, bytes.next()?];
            id.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            id.push(byte);
        }
    }
    let id = String::from_utf8(id).ok()?;
    (escape(&id) == token).then_some(id)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_id_is_one_token_and_comes_back(id in ".{1,64}") {
            let token = escape(&id);
            prop_assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_=".contains(&byte)));
            prop_assert_eq!(unescape(&token), Some(id));
        }

        #[test]
        fn no_token_stands_for_two_ids(token in "[a-f0-9=]{1,9}") {
            if let Some(id) = unescape(&token) {
                prop_assert_eq!(escape(&id), token);
            }
        }
    }
}
