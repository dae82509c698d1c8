//! What an operator does to users: sessions that end, bans, tokens that are revoked, data that are removed.

use std::time::Duration;

use rtm_codec::{
    CloseReason, ErrorKind, GetUserAttributes, HistoryOf, JoinChannel, MessageId, QueryHistory, SendChannelMessage,
    SendMessageToPeer, SetLocalUserAttributes, SubscribePeersOnlineStatus, UserId,
};
use rtm_core::{AdminAnswer, AdminCall, DeletedData, ProjectConfig, Restriction, store::Restrictions};
use rtm_token::{Builder, Certificate};

use crate::harness::*;

const CERTIFICATE: &str = "5CFd2fd1755d40ecb72977518be15d3b";
const HOUR_MS: u64 = 60 * 60 * 1000;

fn secure() -> ProjectConfig {
    let mut config = config();
    config.certificates = vec![CERTIFICATE.parse().unwrap()];
    config
}

fn token(world: &World, user: &str) -> String {
    let certificate: Certificate = CERTIFICATE.parse().unwrap();
    let builder = Builder::new(APP_ID, &certificate, user, world.now.unix_ms / 1000, 1);
    builder.ttl(Duration::from_secs(24 * 60 * 60)).build().unwrap()
}

fn refused(world: &mut World, user: &str) -> Option<ErrorKind> {
    let client = world.try_login(login_of(user));
    world.refused(client).map(|refusal| refusal.kind)
}

/// The users to whom something is refused, with the ends of their bans.
fn banned(world: &World) -> Vec<(UserId, u64)> {
    let all = world.core.inspect_restrictions(world.now, None, 100);
    all.into_iter().map(|(user_id, Restrictions { banned_until, .. })| (user_id, banned_until)).collect()
}

#[test]
fn a_banned_user_is_out_and_stays_out_until_then() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    for client in [alice, bob] {
        world.call(client, JoinChannel { channel_id: room("r") }).unwrap();
    }
    world.advance(secs(2));
    world.events(bob);
    let until = world.now.unix_ms + 60_000;
    assert!(world.ban("alice", until));
    assert_eq!(world.closed(alice), Some(CloseReason::Banned));
    assert!(!world.is_kicked(alice));
    assert_eq!(names(&world.events(bob))[0], "MemberLeft");
    assert_eq!(refused(&mut world, "alice"), Some(ErrorKind::Banned));
    assert_eq!(world.gateway(Some("alice"), None), Err(ErrorKind::Banned));
    assert_eq!(banned(&world), [(uid("alice"), until)]);
    world.advance(millis(59_999));
    assert_eq!(refused(&mut world, "alice"), Some(ErrorKind::Banned));
    world.advance(millis(1));
    world.login("alice");
    assert_eq!(banned(&world), []);
}

#[test]
fn a_ban_can_be_for_ever_and_can_be_lifted() {
    let mut world = World::new();
    assert!(world.ban("alice", u64::MAX));
    assert!(!world.ban("alice", u64::MAX), "it was banned so already");
    world.advance(secs(60 * 60 * 24 * 400));
    assert_eq!(refused(&mut world, "alice"), Some(ErrorKind::Banned));
    assert!(world.restrict(Some("alice"), Restriction::Unbanned));
    assert!(!world.restrict(Some("alice"), Restriction::Unbanned), "there was no ban");
    world.login("alice");
}

#[test]
fn a_kick_is_no_ban_and_can_be_told_from_one() {
    let mut world = World::new();
    assert!(!world.kick("alice"), "there was no session");
    let alice = world.login("alice");
    assert!(world.kick("alice"));
    assert_eq!(world.closed(alice), Some(CloseReason::Banned), "the client is not to come back by itself");
    assert!(world.is_kicked(alice));
    let alice = world.login("alice");
    assert!(!world.is_kicked(alice));
}

#[test]
fn bans_and_revoked_tokens_outlive_the_server() {
    let mut world = World::with(secure());
    let old = token(&world, "carol");
    let until = world.now.unix_ms + 60_000;
    world.ban("alice", until);
    world.ban("bob", u64::MAX);
    world.ban("dave", u64::MAX);
    world.restrict(Some("dave"), Restriction::Unbanned);
    world.advance(secs(1));
    let now = world.now.unix_ms;
    world.restrict(Some("carol"), Restriction::TokensFrom(now));
    world = world.restart(secure());
    assert_eq!(banned(&world), [(uid("alice"), until), (uid("bob"), u64::MAX), (uid("carol"), 0)]);
    for user in ["alice", "bob"] {
        let login = token_login(user, &token(&world, user));
        let client = world.try_login(login);
        assert_eq!(world.refused(client).unwrap().kind, ErrorKind::Banned, "{user}");
    }
    let login = token_login("dave", &token(&world, "dave"));
    world.login_with(login);
    let client = world.try_login(token_login("carol", &old));
    assert_eq!(world.refused(client).unwrap().kind, ErrorKind::TokenExpired);
    world.advance(secs(60));
    world = world.restart(secure());
    let login = token_login("alice", &token(&world, "alice"));
    world.login_with(login);
}

#[test]
fn tokens_issued_before_are_refused_and_their_sessions_end() {
    let mut world = World::with(secure());
    let [old, bobs] = ["alice", "bob"].map(|user| token(&world, user));
    let alice = world.login_with(token_login("alice", &old));
    let bob = world.login_with(token_login("bob", &bobs));
    world.advance(secs(10));
    let from = world.now.unix_ms;
    assert!(world.restrict(Some("alice"), Restriction::TokensFrom(from)));
    assert_eq!((world.closed(alice), world.closed(bob)), (Some(CloseReason::TokenExpired), None));
    let client = world.try_login(token_login("alice", &old));
    assert_eq!(world.refused(client).unwrap().kind, ErrorKind::TokenExpired);
    let new = token(&world, "alice");
    let alice = world.login_with(token_login("alice", &new));
    assert!(!world.restrict(Some("alice"), Restriction::TokensFrom(from)), "they are revoked already");
    // An older time is less strict again.
    assert!(world.restrict(Some("alice"), Restriction::TokensFrom(0)));
    assert_eq!(world.closed(alice), None);
    world.login_with(token_login("alice", &old));
}

#[test]
fn a_session_may_not_be_renewed_with_a_revoked_token() {
    let mut world = World::with(secure());
    let old = token(&world, "alice");
    world.advance(secs(10));
    let from = world.now.unix_ms;
    let new = token(&world, "alice");
    let alice = world.login_with(token_login("alice", &new));
    world.restrict(Some("alice"), Restriction::TokensFrom(from));
    assert_eq!(world.closed(alice), None);
    let renew = rtm_codec::RenewToken { token: rtm_codec::Token::new(&*old).unwrap() };
    assert_eq!(world.call(alice, renew).unwrap_err().kind, ErrorKind::TokenExpired);
}

#[test]
fn the_tokens_of_all_users_can_be_revoked_and_their_sessions_end_by_and_by() {
    let mut world = World::with(secure());
    let users: Vec<_> = (0..600).map(|number| format!("user-{number}")).collect();
    let old: Vec<_> = users.iter().map(|user| token(&world, user)).collect();
    let clients: Vec<_> =
        users.iter().zip(&old).map(|(user, token)| world.login_with(token_login(user, token))).collect();
    world.advance(secs(1));
    let from = world.now.unix_ms;
    let new = token(&world, "late");
    let late = world.login_with(token_login("late", &new));
    assert!(world.restrict(None, Restriction::TokensFrom(from)));
    assert_eq!(world.core.tokens_from(), from);
    let refused = world.try_login(token_login("user-0", &old[0]));
    assert_eq!(world.refused(refused).unwrap().kind, ErrorKind::TokenExpired);
    world.advance(millis(100));
    assert!(clients.iter().all(|client| world.closed(*client) == Some(CloseReason::TokenExpired)));
    assert_eq!(world.closed(late), None);
    world = world.restart(secure());
    let refused = world.try_login(token_login("user-0", &old[0]));
    assert_eq!(world.refused(refused).unwrap().kind, ErrorKind::TokenExpired);
}

#[test]
fn a_packed_session_keeps_when_its_token_was_issued() {
    let mut world = World::with(secure());
    let old = token(&world, "alice");
    world.login_with(token_login("alice", &old));
    world.advance(secs(10));
    let new = token(&world, "bob");
    let bob = world.login_with(token_login("bob", &new));
    let packs = ["alice", "bob"].map(|user| world.core.pack_session(world.now, &uid(user)).unwrap());
    world.pump();
    let from = world.now.unix_ms;
    world.restrict(None, Restriction::TokensFrom(from));
    for pack in packs {
        world.core.unpack_session(world.now, &pack).unwrap();
    }
    world.pump();
    assert_eq!(world.core.stats().sessions, 1, "alice's token was revoked while her session was packed");
    world.resume(bob);
}

#[test]
fn what_the_store_did_not_keep_is_not_in_force() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.store.is_broken = true;
    let answer = world
        .admin(AdminCall::Restrict { user_id: Some(uid("alice")), restriction: Restriction::BannedUntil(u64::MAX) });
    assert_eq!(answer.unwrap_err().kind, ErrorKind::Failure);
    assert_eq!(world.closed(alice), None);
    world.store.is_broken = false;
    assert!(world.ban("alice", u64::MAX));
    assert_eq!(world.closed(alice), Some(CloseReason::Banned));
}

#[test]
fn changes_for_one_user_are_made_one_after_the_other() {
    let mut world = World::new();
    world.store.is_held = true;
    let change = |restriction| AdminCall::Restrict { user_id: Some(uid("alice")), restriction };
    let ban = world.core.admin(world.now, change(Restriction::BannedUntil(u64::MAX)));
    let unban = world.core.admin(world.now, change(Restriction::Unbanned));
    let again = world.core.admin(world.now, change(Restriction::BannedUntil(u64::MAX - 1)));
    world.pump();
    assert_eq!(world.admin_answer(ban), None, "the store has not kept it yet");
    world.store.is_held = false;
    world.pump();
    let mut answers = Vec::new();
    world.core.take_admin_answers(&mut answers);
    let wanted = [ban, unban, again].map(|id| (id, Ok(AdminAnswer::Restricted { changed: true })));
    assert_eq!(answers, wanted);
    assert_eq!(banned(&world), [(uid("alice"), u64::MAX - 1)]);
}

#[test]
fn what_is_over_is_forgotten_after_a_while() {
    let mut world = World::new();
    let until = world.now.unix_ms + 60_000;
    world.ban("alice", until);
    world.ban("bob", u64::MAX);
    world.restrict(Some("bob"), Restriction::Unbanned);
    world.restrict(Some("carol"), Restriction::TokensFrom(1));
    assert_eq!(world.store.stats().restricted, 3);
    world.advance(Duration::from_millis(4 * HOUR_MS));
    assert_eq!(world.store.stats().restricted, 1, "tokens stay revoked");
    // It can be banned anew.
    assert!(world.ban("bob", u64::MAX));
    world = world.restart(config());
    assert_eq!(refused(&mut world, "bob"), Some(ErrorKind::Banned));
}

fn with_history(id: u64, peer: &str) -> SendMessageToPeer {
    SendMessageToPeer { enable_historical_messaging: true, ..stored_to_peer(id, peer, "kept") }
}

#[test]
fn the_data_of_a_user_go_and_those_of_others_stay() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    for client in [alice, bob] {
        world.call(client, JoinChannel { channel_id: room("r") }).unwrap();
    }
    // More than are looked for at a time, several in one moment.
    for id in 1..=150 {
        world.call(alice, with_history(id, "carol")).unwrap();
    }
    let said = |id| SendChannelMessage {
        message_id: MessageId(id),
        channel_id: room("r"),
        message: "kept".into(),
        enable_historical_messaging: true,
    };
    world.call(alice, said(201)).unwrap();
    world.call(bob, said(1)).unwrap();
    world.call(bob, with_history(2, "alice")).unwrap();
    world.call(alice, SetLocalUserAttributes { attributes: attributes(&[("mood", "good"), ("age", "9")]) }).unwrap();
    world.call(alice, SubscribePeersOnlineStatus { peer_ids: vec![uid("bob")] }).unwrap();
    world.advance(secs(1));
    world.logout(bob);
    world.call(alice, stored_to_peer(301, "bob", "waits")).unwrap();
    let carols = AdminCall::CountStored(uid("carol"));
    assert_eq!(world.admin(carols.clone()), Ok(AdminAnswer::StoredMessages(150)));
    assert_eq!(world.store.stats().history_messages, 153);
    let Ok(AdminAnswer::Deleted(deleted)) = world.admin(AdminCall::DeleteData(uid("alice"))) else { panic!() };
    let DeletedData { stored_messages, history_messages, attributes, .. } = deleted;
    assert_eq!((stored_messages, history_messages, attributes), (0, 151, 2));
    assert_eq!(world.store.stats().history_messages, 2);
    let none = world.call(alice, GetUserAttributes { user_id: uid("alice"), keys: None }).unwrap();
    assert!(none.is_empty());
    let from_bob = QueryHistory {
        conversation: HistoryOf::Channel(room("r")),
        from_ts: 0,
        until_ts: u64::MAX,
        after: None,
        limit: 100,
    };
    let left = world.call(alice, from_bob).unwrap().messages;
    assert_eq!(left.iter().map(|message| message.from.as_str()).collect::<Vec<_>>(), ["bob"]);
    // What waits for others is theirs.
    let Ok(AdminAnswer::Deleted(deleted)) = world.admin(AdminCall::DeleteData(uid("carol"))) else { panic!() };
    assert_eq!((deleted.stored_messages, deleted.history_messages), (150, 0));
    assert_eq!(world.admin(carols), Ok(AdminAnswer::StoredMessages(0)));
    // Nothing but what waits.
    let Ok(AdminAnswer::Deleted(deleted)) = world.admin(AdminCall::DeleteStored(uid("alice"))) else { panic!() };
    assert_eq!(deleted, DeletedData::default());
    world.call(alice, stored_to_peer(302, "carol", "waits")).unwrap();
    let Ok(AdminAnswer::Deleted(deleted)) = world.admin(AdminCall::DeleteStored(uid("carol"))) else { panic!() };
    assert_eq!((deleted.stored_messages, deleted.history_messages, deleted.attributes), (1, 0, 0));
    assert_eq!(world.store.stats().history_messages, 2);
    assert!(world.store.waiting("carol").is_empty());
    assert_eq!(world.store.waiting("bob"), ["waits"]);
}

#[test]
fn a_deletion_that_the_store_fails_says_so() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.call(alice, with_history(1, "bob")).unwrap();
    world.store.fails = Some(|work| matches!(work, rtm_core::StoreWork::Remove { .. }));
    assert_eq!(world.admin(AdminCall::DeleteData(uid("alice"))).unwrap_err().kind, ErrorKind::Failure);
    world.store.fails = None;
    let Ok(AdminAnswer::Deleted(deleted)) = world.admin(AdminCall::DeleteData(uid("alice"))) else { panic!() };
    assert_eq!(deleted.history_messages, 1);
}

#[test]
fn what_cannot_be_counted_is_said_to_be_unreadable_and_not_half_done() {
    let mut world = World::new();
    world.store.is_broken = true;
    let detail = |refused: rtm_codec::Refusal| refused.detail.as_str().to_owned();
    let refused = world.admin(AdminCall::CountStored(uid("carol"))).unwrap_err();
    assert!(detail(refused).contains("cannot be read now"));
    let refused = world.admin(AdminCall::DeleteStored(uid("carol"))).unwrap_err();
    assert!(detail(refused).contains("may be done in part"));
}
