//! How far a list of several nodes has been read, and which part of it each is asked for.

use std::{collections::BTreeSet, num::NonZeroUsize};

use rtm_core::cluster::NodeName;

use crate::{
    admin::answers::ApiError,
    cluster::names::{escape, unescape},
};

/// How far a list of several nodes has been read: nodes that are not here have no more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Cursor(pub(super) Vec<(NodeName, Option<u64>)>);

impl Cursor {
    /// As it stands in a list: `NODE.NUMBER`, and commas between. There is none where nothing is left.
    pub(super) fn text(&self) -> Option<String> {
        let one = |(node, number): &(NodeName, Option<u64>)| {
            format!("{}.{}", escape(node.as_str()), number.map_or(String::new(), |n| n.to_string()))
        };
        (!self.0.is_empty()).then(|| self.0.iter().map(one).collect::<Vec<_>>().join(","))
    }

    fn read(text: &str) -> Option<Self> {
        let one = |text: &str| {
            let (node, number) = text.split_once('.')?;
            let node = NodeName::new(&unescape(node)?).ok()?;
            let number = if number.is_empty() { None } else { Some(number.parse().ok()?) };
            Some((node, number))
        };
        let read: Vec<(NodeName, Option<u64>)> = text.split(',').map(one).collect::<Option<_>>()?;
        let mut nodes = BTreeSet::new();
        read.iter().all(|(node, _)| nodes.insert(node)).then_some(Self(read.clone()))
    }
}

pub(super) fn take_cursor(query: &mut Vec<(String, String)>) -> Result<Option<Cursor>, ApiError> {
    let at = query.iter().position(|(name, _)| name == CURSOR);
    let Some((_, text)) = at.map(|at| query.remove(at)) else { return Ok(None) };
    Cursor::read(&text).map(Some).ok_or_else(|| ApiError::bad_request("this cursor is not one of ours"))
}

/// How many items are wanted: what each node makes of it too.
pub(super) fn limit(query: &[(String, String)]) -> Result<usize, ApiError> {
    let Some((_, value)) = query.iter().find(|(name, _)| name == LIMIT) else { return Ok(100) };
    let value: NonZeroUsize = value.parse().map_err(|_| ApiError::bad_request("limit is not a number from 1 on"))?;
    Ok(value.get().min(1000))
}

/// The query for a node's part of a list.
pub(super) fn part(query: &[(String, String)], limit: usize, from: Option<u64>) -> Vec<(String, String)> {
    let others = query.iter().filter(|(name, _)| name != LIMIT).cloned();
    let limit = (LIMIT.to_owned(), limit.to_string());
    others.chain([limit]).chain(from.map(|from| (CURSOR.to_owned(), from.to_string()))).collect()
}

const LIMIT: &str = "limit";
const CURSOR: &str = "cursor";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_whatever_nodes_are_called() {
        let name = |name| NodeName::new(name).unwrap();
        let cursor = Cursor(vec![(name("host:8080"), Some(7)), (name("a,b.c"), None)]);
        let text = cursor.text().unwrap();
        assert_eq!(text, "host=3A8080.7,a=2Cb=2Ec.");
        assert_eq!(Cursor::read(&text), Some(cursor));
        assert_eq!(Cursor::default().text(), None);
        for wrong in ["rtm-1.7,rtm-1.8", "", "7", "rtm-1", "rtm-1.x", "rtm-1.7,", ".7", "rtm 1.7"] {
            assert_eq!(Cursor::read(wrong), None, "{wrong}");
        }
    }
}
