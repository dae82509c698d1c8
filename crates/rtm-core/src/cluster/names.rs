//! The names of nodes, of their lives, and of their cores.

use std::{borrow::Borrow, fmt, sync::Arc};

use thiserror::Error;

/// The name of a node: 1 to 64 visible ASCII characters. It stays when the node starts again. Where a node has several
/// cores of each project, the name of each but the first has its number behind a blank.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(Arc<str>);

impl NodeName {
    /// A name.
    ///
    /// # Errors
    ///
    /// [`InvalidNodeName`] if it is empty, longer than 64 bytes, or has anything but visible ASCII characters.
    pub fn new(name: &str) -> Result<Self, InvalidNodeName> {
        if name.is_empty() || name.len() > NAME_BYTES || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidNodeName);
        }
        Ok(Self(name.into()))
    }

    /// A name as nodes tell it to each other: it may be that of a core.
    pub(crate) fn told(name: &str) -> Result<Self, InvalidNodeName> {
        match name.split_once(' ') {
            Some((node, worker)) => match worker.parse() {
                Ok(number @ 1..MOST_WORKERS) if !worker.starts_with(['0', '+']) => Ok(Self::new(node)?.worker(number)),
                _ => Err(InvalidNodeName),
            },
            None => Self::new(name),
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The node's own name, also where this is the one of a core.
    #[must_use]
    pub fn node(&self) -> Self {
        self.split().0
    }

    fn worker(&self, number: u16) -> Self {
        if number == 0 { self.clone() } else { Self(format!("{self} {number}").into()) }
    }

    fn split(&self) -> (Self, u16) {
        match self.0.split_once(' ') {
            Some((node, number)) => (Self(node.into()), number.parse().unwrap_or_default()),
            None => (self.clone(), 0),
        }
    }
}

impl Borrow<str> for NodeName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// This is no name of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a node's name has 1 to 64 visible ASCII characters")]
pub struct InvalidNodeName;

/// One life of a node. Another start of it, or its return after it was put out, is another incarnation, and nobody
/// takes the one for the other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId {
    /// Whose life.
    pub name: NodeName,
    /// Which: random, so that no two are the same.
    pub incarnation: u64,
}

impl NodeId {
    /// One of the node's cores of a project, by its number from 0.
    #[must_use]
    pub fn worker(&self, number: u16) -> Self {
        Self { name: self.name.worker(number), incarnation: self.incarnation }
    }

    /// The node that a core is on, and the core's number there.
    #[must_use]
    pub fn node_and_worker(&self) -> (Self, u16) {
        let (name, number) = self.name.split();
        (Self { name, incarnation: self.incarnation }, number)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:x}", self.name, self.incarnation)
    }
}

/// The most cores that a node may have of each project.
pub const MOST_WORKERS: u16 = 64;

const NAME_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_visible_ascii() {
        for name in ["", "a b", "ä", "a\n", &"a".repeat(65)] {
            assert_eq!(NodeName::new(name), Err(InvalidNodeName), "{name:?}");
        }
        assert_eq!(NodeName::new("[::1]:8080").unwrap().as_str(), "[::1]:8080");
    }

    #[test]
    fn what_is_told_is_a_name_or_that_of_a_core() {
        for told in ["a", "a 1", "a 63"] {
            assert_eq!(NodeName::told(told).unwrap().as_str(), told);
        }
        for bad in ["a 0", "a 64", "a -1", "a +1", "a 01", "a  1", " 1", "a b", "a 1 2"] {
            assert_eq!(NodeName::told(bad), Err(InvalidNodeName), "{bad:?}");
        }
    }
}
