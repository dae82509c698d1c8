//! The user's own attributes: known here as the server confirmed them, and set again where they were lost.

use std::collections::BTreeMap;

use rtm_codec::{
    AddOrUpdateLocalUserAttributes, Answer, AttributeKey, ClearLocalUserAttributes, Command,
    DeleteLocalUserAttributesByKeys, ErrorKind, Resumption, SetLocalUserAttributes, Text,
};
use rtm_connection::{GapReason, Restored, RtmEvent};

use crate::peer::{Peer, SECOND};

fn key(name: &str) -> AttributeKey {
    AttributeKey::new(name).unwrap()
}

fn map(entries: &[(&str, &str)]) -> BTreeMap<AttributeKey, Text> {
    entries.iter().map(|(name, value)| (key(name), Text::from(*value))).collect()
}

fn set(peer: &mut Peer, entries: &[(&str, &str)]) {
    let id = peer.request(SetLocalUserAttributes { attributes: map(entries) });
    peer.expect_request(id);
    peer.reply(id, Answer::SetLocalUserAttributes(()));
    peer.expect_ok(id);
}

fn restored(peer: &mut Peer) -> BTreeMap<AttributeKey, Text> {
    let (id, command) = peer.expect_any_request();
    let Command::SetLocalUserAttributes(set) = command else { panic!("attributes") };
    peer.reply(id, Answer::SetLocalUserAttributes(()));
    peer.expect_no_reply();
    set.attributes
}

#[test]
fn attributes_are_set_again_as_they_were_left() {
    let mut peer = Peer::online();
    set(&mut peer, &[("a", "1"), ("b", "1"), ("c", "1")]);
    let id = peer.request(AddOrUpdateLocalUserAttributes { attributes: map(&[("b", "2"), ("d", "2")]) });
    peer.reply(id, Answer::AddOrUpdateLocalUserAttributes(()));
    let id = peer.request(DeleteLocalUserAttributesByKeys { keys: vec![key("a"), key("unknown")] });
    peer.reply(id, Answer::DeleteLocalUserAttributesByKeys(()));
    let id = peer.request(AddOrUpdateLocalUserAttributes { attributes: map(&[("refused", "1")]) });
    peer.refuse(id, ErrorKind::Failure);
    for resumption in [Resumption::New, Resumption::Lapsed] {
        peer.forget_all();
        peer.reconnect(resumption);
        assert_eq!(restored(&mut peer), map(&[("b", "2"), ("c", "1"), ("d", "2")]));
        peer.expect_no_request();
    }
    peer.reconnect_quietly(Resumption::Resumed);
    peer.expect_no_request();
}

#[test]
fn cleared_attributes_are_not_set_again() {
    let mut peer = Peer::online();
    set(&mut peer, &[("a", "1")]);
    let id = peer.request(ClearLocalUserAttributes {});
    peer.reply(id, Answer::ClearLocalUserAttributes(()));
    peer.forget_all();
    peer.reconnect(Resumption::New);
    peer.expect_no_request();
}

#[test]
fn what_is_set_again_waits_for_writes_without_an_answer() {
    for resumption in [Resumption::New, Resumption::Lapsed] {
        let mut peer = Peer::online();
        set(&mut peer, &[("a", "1")]);
        let id = peer.request(AddOrUpdateLocalUserAttributes { attributes: map(&[("b", "1")]) });
        peer.expect_request(id);
        peer.reconnect(resumption);
        // The server may have done it before it took the attributes away, and then only says so.
        peer.expect_request(id);
        peer.expect_no_request();
        peer.reply(id, Answer::AddOrUpdateLocalUserAttributes(()));
        peer.expect_ok(id);
        assert_eq!(restored(&mut peer), map(&[("a", "1"), ("b", "1")]));
        peer.pass(SECOND * 30);
        peer.expect_no_request();
    }
}

#[test]
fn a_first_write_done_before_a_lapse_is_not_lost_with_it() {
    let mut peer = Peer::online();
    let id = peer.request(AddOrUpdateLocalUserAttributes { attributes: map(&[("a", "1")]) });
    peer.reconnect(Resumption::Lapsed);
    peer.forget_sent();
    peer.reply(id, Answer::AddOrUpdateLocalUserAttributes(()));
    peer.expect_ok(id);
    assert_eq!(restored(&mut peer), map(&[("a", "1")]));
}

#[test]
fn a_write_that_was_never_sent_follows_what_is_set_again() {
    let mut peer = Peer::online();
    set(&mut peer, &[("a", "1")]);
    peer.cut();
    peer.drop_events();
    let id = peer.request(AddOrUpdateLocalUserAttributes { attributes: map(&[("b", "1")]) });
    peer.until_dial();
    peer.open();
    peer.welcome(Resumption::New);
    assert_eq!(restored(&mut peer), map(&[("a", "1")]));
    peer.expect_request(id);
}

#[test]
fn the_size_counts_as_it_would_be_after_the_call() {
    let mut peer = Peer::online();
    let value = "x".repeat(8000);
    set(&mut peer, &[("a", &value)]);
    let id = peer.request(AddOrUpdateLocalUserAttributes { attributes: map(&[("b", &value)]) });
    peer.expect_request(id);
    peer.expect_no_reply();
    // The one before has no answer yet, and counts.
    let id = peer.request(AddOrUpdateLocalUserAttributes { attributes: map(&[("c", &value)]) });
    assert_eq!(peer.expect_err(id, ErrorKind::SizeOverflow).code(), Some(4));
    peer.expect_no_request();
    let id = peer.request(AddOrUpdateLocalUserAttributes { attributes: map(&[("b", "short")]) });
    peer.expect_request(id);
}

#[test]
fn attributes_that_cannot_be_set_again_are_said() {
    let mut peer = Peer::online();
    set(&mut peer, &[("a", "1")]);
    peer.reconnect(Resumption::New);
    peer.expect_gap(None, GapReason::NewSession);
    let (id, _) = peer.expect_any_request();
    peer.refuse(id, ErrorKind::SizeOverflow);
    let RtmEvent::RestoreFailed { what: Restored::UserAttributes, error, .. } = peer.expect_any_event() else {
        panic!("the failure")
    };
    assert_eq!(error.code(), Some(4));
    peer.reconnect(Resumption::New);
    peer.expect_no_request();
}

#[test]
fn setting_again_does_not_undo_a_newer_write() {
    let mut peer = Peer::online();
    set(&mut peer, &[("a", "1")]);
    peer.reconnect(Resumption::New);
    let (first_try, _) = peer.expect_any_request();
    peer.refuse(first_try, ErrorKind::TooOften);
    peer.pass(SECOND * 4);
    let write = peer.request(AddOrUpdateLocalUserAttributes { attributes: map(&[("a", "2")]) });
    peer.expect_request(write);
    // The time for the second try comes, but the write is on its way.
    peer.pass(SECOND * 3);
    peer.expect_no_request();
    peer.reply(write, Answer::AddOrUpdateLocalUserAttributes(()));
    peer.expect_ok(write);
    peer.pass(SECOND * 2);
    assert_eq!(restored(&mut peer), map(&[("a", "2")]));
}
