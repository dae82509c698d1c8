//! A call that several nodes answer, and what is made of their answers.

use std::{cmp::Ordering, collections::VecDeque, future::ready, sync::Arc};

use axum::{
    body::Body,
    extract::Request,
    http::{StatusCode, request::Parts},
    middleware::Next,
};
use futures::future::{BoxFuture, join_all};
use rtm_core::cluster::NodeName;
use serde_json::Value;

use super::{
    NODE, Nodes, SORT,
    cursor::{Cursor, limit, part, take_cursor},
    passed_on::{Answered, Asked, answered},
    with_query,
};
use crate::admin::{access::Caller, answers::ApiError};

/// A node's part of a list, and where it goes on; or another answer, where there is none.
type Part = Result<(Vec<Value>, Option<u64>), Answered>;

/// A call that is asked of several nodes.
pub(super) struct Everybody {
    pub(super) nodes: Arc<Nodes>,
    pub(super) all: Vec<NodeName>,
    pub(super) caller: Caller,
    pub(super) parts: Parts,
    pub(super) body: String,
    pub(super) next: Next,
}

type Pairs = Vec<(String, String)>;

impl Everybody {
    fn ask(&self, node: &NodeName, query: &[(String, String)]) -> Asked {
        let uri = match with_query(&self.parts.uri, query) {
            Ok(uri) => uri,
            Err(error) => return Box::pin(ready(Err(error))),
        };
        if *node != self.nodes.me {
            return self.nodes.ask(node, &self.caller, &uri, &self.parts.method, self.body.clone());
        }
        let mut parts = self.parts.clone();
        parts.uri = uri;
        let (next, body) = (self.next.clone(), Body::from(self.body.clone()));
        Box::pin(async move { answered(next.run(Request::from_parts(parts, body)).await).await })
    }

    /// A node's part of a list, each item with its node.
    fn list(&self, node: &NodeName, query: &[(String, String)]) -> BoxFuture<'static, Result<Part, ApiError>> {
        let (asked, node) = (self.ask(node, query), node.clone());
        Box::pin(async move {
            let mut answer = asked.await?;
            if answer.status != StatusCode::OK {
                return Ok(Err(answer));
            }
            let Some(Value::Array(mut items)) = answer.body.get_mut("items").map(Value::take) else {
                return Err(ApiError::internal());
            };
            for item in items.iter_mut().filter_map(Value::as_object_mut) {
                item.insert(NODE.to_owned(), node.as_str().into());
            }
            let next = answer.body.get("next").and_then(Value::as_str).and_then(|next| next.parse().ok());
            Ok(Ok((items, next)))
        })
    }

    /// All at once, in the order that they are asked for.
    pub(super) async fn sorted(self, query: Pairs) -> Result<Answered, ApiError> {
        let key = query.iter().find(|(name, _)| name == SORT).map(|(_, value)| value.clone()).unwrap_or_default();
        let lists = join_all(self.all.iter().map(|node| self.list(node, &query))).await;
        let mut items = match gather(lists)? {
            Ok(items) => items,
            Err(answer) => return Ok(answer),
        };
        let weight = |item: &Value| item.get(&key).and_then(Value::as_f64).unwrap_or(0.0);
        items.sort_by(|one, other| weight(other).partial_cmp(&weight(one)).unwrap_or(Ordering::Equal));
        items.truncate(limit(&query)?);
        Ok(Answered::list(items, &Cursor::default()))
    }

    /// One after the other, until there are enough.
    pub(super) async fn in_turn(self, mut query: Pairs) -> Result<Answered, ApiError> {
        let (mut left, read) = (limit(&query)?, take_cursor(&mut query)?);
        let begins = read.and_then(|Cursor(read)| read.into_iter().next());
        let mut to_ask = self.all.clone();
        to_ask.retain(|node| begins.as_ref().is_none_or(|(first, _)| node >= first));
        let mut items = Vec::new();
        let mut unknown = Vec::new();
        for (at, node) in to_ask.clone().into_iter().enumerate() {
            let from = begins.as_ref().filter(|(first, _)| *first == node).and_then(|(_, from)| *from);
            match self.list(&node, &part(&query, left, from)).await? {
                Ok((mut more, next)) => {
                    left = left.saturating_sub(more.len());
                    items.append(&mut more);
                    let cursor = match (next, left, to_ask.get(at + 1)) {
                        (Some(_), ..) => Some((node, next)),
                        (None, 0, Some(next)) => Some((next.clone(), None)),
                        _ => None,
                    };
                    if let Some(cursor) = cursor {
                        return Ok(Answered::list(items, &Cursor(vec![cursor])));
                    }
                }
                Err(answer) if answer.status == StatusCode::NOT_FOUND => unknown.push(answer),
                Err(answer) => return Ok(answer),
            }
        }
        let nobody_knows = begins.is_none() && unknown.len() == self.all.len();
        match unknown.pop().filter(|_| nobody_knows) {
            Some(answer) => Ok(answer),
            None => Ok(Answered::list(items, &Cursor::default())),
        }
    }

    /// All at once, the newest of all first.
    pub(super) async fn newest(self, mut query: Pairs) -> Result<Answered, ApiError> {
        let (limit, read) = (limit(&query)?, take_cursor(&mut query)?);
        let Cursor(read) = read.unwrap_or_else(|| Cursor(self.all.iter().map(|node| (node.clone(), None)).collect()));
        let read: Vec<_> = read.into_iter().filter(|(node, _)| self.all.contains(node)).collect();
        let asked = read.iter().map(|(node, from)| self.list(node, &part(&query, limit, *from)));
        let (mut lists, mut unknown) = (Vec::new(), None);
        for ((node, _), list) in read.iter().zip(join_all(asked).await) {
            match list? {
                Ok((items, next)) => lists.push(NewestFirst { node: node.clone(), items: items.into(), next }),
                Err(answer) if answer.status == StatusCode::NOT_FOUND => unknown = Some(answer),
                Err(answer) => return Ok(answer),
            }
        }
        match unknown.filter(|_| lists.is_empty()) {
            Some(answer) => Ok(answer),
            None => {
                let (items, cursor) = merge_newest(lists, limit);
                Ok(Answered::list(items, &cursor))
            }
        }
    }

    /// The answer of the node that does not say that another one tells the endpoint.
    pub(super) async fn who_tells(self, query: Pairs) -> Result<Answered, ApiError> {
        let here = self.ask(&self.nodes.me, &query).await?;
        if here.status != StatusCode::CONFLICT {
            return Ok(here);
        }
        for node in self.all.iter().filter(|node| **node != self.nodes.me) {
            let answer = self.ask(node, &query).await?;
            if answer.status != StatusCode::CONFLICT {
                return Ok(answer);
            }
        }
        Ok(here)
    }

    /// This node's answer, once all have done it. What one does not do is said with the nodes that have done it.
    pub(super) async fn everywhere(self, query: Pairs) -> Result<Answered, ApiError> {
        let here = self.ask(&self.nodes.me, &query).await?;
        // What is wrong with it here is wrong with it everywhere.
        if here.status != StatusCode::OK {
            return Ok(here);
        }
        let others: Vec<_> = self.all.iter().filter(|node| **node != self.nodes.me).collect();
        let answers = join_all(others.iter().map(|node| self.ask(node, &query))).await;
        let (mut done, mut not_done) = (vec![self.nodes.me.to_string()], Vec::new());
        for (node, answer) in others.into_iter().zip(answers) {
            match answer {
                Ok(answer) if answer.status == StatusCode::OK => done.push(node.to_string()),
                Ok(answer) => {
                    let why =
                        answer.body.pointer("/error/message").and_then(Value::as_str).unwrap_or("it does not say why");
                    not_done.push(format!("{node} does not: {why}"));
                }
                Err(error) => not_done.push(error.to_string()),
            }
        }
        if not_done.is_empty() {
            return Ok(here);
        }
        Err(ApiError::no_answer(format!("{} did it, but {}", done.join(", "), not_done.join("; "))))
    }

    /// The list of this node, with what others say of the endpoints that they tell.
    pub(super) async fn webhooks(self, query: Pairs) -> Result<Answered, ApiError> {
        let (mut here, _) = match self.list(&self.nodes.me, &query).await? {
            Ok(here) => here,
            Err(answer) => return Ok(answer),
        };
        let is_elsewhere = |webhook: &Value| webhook.get("state").is_some_and(|state| state == "elsewhere");
        if here.iter().any(is_elsewhere) {
            let others = self.all.iter().filter(|node| **node != self.nodes.me);
            let theirs = match gather(join_all(others.map(|node| self.list(node, &query))).await)? {
                Ok(theirs) => theirs,
                Err(answer) => return Ok(answer),
            };
            for webhook in here.iter_mut().filter(|webhook| is_elsewhere(webhook)) {
                let is_it = |one: &&Value| one.get("name") == webhook.get("name") && !is_elsewhere(one);
                if let Some(told) = theirs.iter().find(is_it) {
                    *webhook = told.clone();
                }
            }
        }
        Ok(Answered::list(here, &Cursor::default()))
    }

    /// The answer of the node that has the session, or else of one that knows anything.
    pub(super) async fn who_knows(self, query: Pairs) -> Result<Answered, ApiError> {
        let here = self.ask(&self.nodes.me, &query).await?;
        // Every node has a channel's attributes, a user's ban and waiting messages: the one with the members, or the
        // session, knows more.
        let is_whole = |answer: &Answered| {
            let has_session = answer.body.get("session").is_none_or(|session| !session.is_null());
            let has_members = answer.body.get("members").is_none_or(|members| *members != 0);
            answer.status == StatusCode::OK && has_session && has_members
        };
        let known_by = |mut answer: Answered, node: &NodeName| {
            if let Some(body) = answer.body.as_object_mut() {
                body.insert(NODE.to_owned(), node.as_str().into());
            }
            answer
        };
        if is_whole(&here) {
            return Ok(known_by(here, &self.nodes.me));
        }
        let others: Vec<_> = self.all.iter().filter(|node| **node != self.nodes.me).collect();
        let answers = join_all(others.iter().map(|node| self.ask(node, &query))).await;
        let (mut best, mut silent) = (here, Vec::new());
        for (node, answer) in others.into_iter().zip(answers) {
            match answer {
                Ok(answer) if is_whole(&answer) => return Ok(known_by(answer, node)),
                Ok(answer) if best.status != StatusCode::OK && answer.status == StatusCode::OK => best = answer,
                Ok(_) => {}
                Err(error) => silent.push((node, error)),
            }
        }
        // A node that does not answer may be the one that knows.
        let is_there = |node: &NodeName| best.body.get(NODE).is_some_and(|there| there == node.as_str());
        let is_missed = |(node, _): &(&NodeName, ApiError)| best.status != StatusCode::OK || is_there(node);
        match silent.into_iter().find(is_missed) {
            Some((_, error)) => Err(error),
            None => Ok(best),
        }
    }
}

/// A node's part of a list whose first item is its newest, and where it goes on.
struct NewestFirst {
    node: NodeName,
    items: VecDeque<Value>,
    next: Option<u64>,
}

/// The newest of all items, at most so many, and where each list goes on. Each keeps its own order, whatever the clocks say, and
/// goes on behind what was taken of it: what comes in the meantime is in no part that follows, and nothing is left out.
fn merge_newest(mut lists: Vec<NewestFirst>, limit: usize) -> (Vec<Value>, Cursor) {
    let ended =
        |list: &NewestFirst| list.items.front().map(|item| item["ended"].as_str().unwrap_or_default().to_owned());
    let mut items = Vec::new();
    while items.len() < limit {
        let Some(newest) = lists.iter().filter_map(ended).max() else { break };
        let list = lists.iter_mut().find(|list| ended(list).as_ref() == Some(&newest));
        items.extend(list.and_then(|list| list.items.pop_front()));
    }
    let goes_on = |list: NewestFirst| {
        // A cursor is the number before which a list goes on.
        let first = list.items.front().and_then(|item| item["number"].as_u64()).map(|number| number.saturating_add(1));
        Some((list.node, Some(first.or(list.next)?)))
    };
    (items, Cursor(lists.into_iter().filter_map(goes_on).collect()))
}

/// What is in all lists. What a node does not know is not missing, unless nobody knows it.
fn gather(lists: Vec<Result<Part, ApiError>>) -> Result<Result<Vec<Value>, Answered>, ApiError> {
    let (mut items, mut unknown, mut is_known) = (Vec::new(), None, false);
    for list in lists {
        match list? {
            Ok((mut more, _)) => {
                items.append(&mut more);
                is_known = true;
            }
            Err(answer) if answer.status == StatusCode::NOT_FOUND => unknown = Some(answer),
            Err(answer) => return Ok(Err(answer)),
        }
    }
    match unknown.filter(|_| !is_known) {
        Some(answer) => Ok(Err(answer)),
        None => Ok(Ok(items)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_the_newest_is_read_on_without_gap_or_repetition_while_more_ends() {
        let name = |name| NodeName::new(name).unwrap();
        // What ended at each node, oldest first: its time and its number.
        let mut nodes = [
            (name("a"), vec![("10:03", 1), ("10:01", 2), ("10:04", 3)]),
            (name("b"), vec![("10:02", 7)]),
            (name("c"), vec![]),
        ];
        let read = |nodes: &[(NodeName, Vec<(&str, u64)>)], cursor: &Cursor, limit: usize| {
            let part = |(node, before): &(NodeName, Option<u64>)| {
                let (_, all) = nodes.iter().find(|(known, _)| known == node).unwrap();
                let mut wanted = all.iter().rev().filter(|(_, number)| before.is_none_or(|before| *number < before));
                let items: Vec<_> = wanted.by_ref().take(limit).collect();
                let next = items.last().filter(|_| wanted.next().is_some()).map(|(_, number)| *number);
                let item = |(ended, number): &(&str, u64)| serde_json::json!({ "ended": ended, "number": number });
                NewestFirst { node: node.clone(), items: items.into_iter().map(item).collect(), next }
            };
            merge_newest(cursor.0.iter().map(part).collect(), limit)
        };
        for limit in [1, 2, 100] {
            let mut cursor = Cursor(nodes.iter().map(|(node, _)| (node.clone(), None)).collect());
            let mut seen = Vec::new();
            while !cursor.0.is_empty() {
                let (items, next) = read(&nodes, &cursor, limit);
                seen.extend(items.iter().map(|item| item["number"].as_u64().unwrap()));
                cursor = next;
                // Everywhere something ends between two parts.
                nodes.iter_mut().for_each(|(_, all)| all.push(("10:05", 100 + all.len() as u64)));
            }
            nodes.iter_mut().for_each(|(_, all)| all.retain(|(_, number)| *number < 100));
            // A clock that goes back changes no node's own order.
            assert_eq!(seen, [3, 7, 2, 1], "{limit} at once");
        }
    }
}
