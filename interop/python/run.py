#!/usr/bin/env python3
"""The native wire as its page describes it, spoken by client.py with `rtm serve`.

    python3 run.py --rtm ../../target/debug/rtm

Exit status 0 when no case failed. The last line: 'N passed, N failed'.
"""
import argparse
import os
import re
import subprocess
import sys
import threading
import time
import traceback

from client import VERSION, Client, Closed, Refused, WebSocket, binary, number, text

OPEN, SECURE = "0" * 28 + "open", "0" * 28 + "cert"
CERTIFICATE = "5CFd2fd1755d40ecb72977518be15d3b"
ALL_SECONDS = 60
serial = 0


def unique(hint):
    global serial
    serial += 1
    return f"{hint}-{serial}"


def user(hint, **options):
    one = Client(*address, options.pop("app_id", OPEN), unique(hint), **options)
    assert one.login() == "New"
    return one


def refused(kind, call, *arguments):
    try:
        got = call(*arguments)
    except Refused as refusal:
        assert refusal.kind == kind, refusal
    else:
        raise AssertionError(f"{kind} was expected, and not {got}")


def a_login_is_welcomed_and_ends_with_a_logout():
    alice = user("alice")
    alice.ping()
    assert alice.logout() == "Logout"


def a_login_is_refused_with_its_reason():
    refused("InvalidAppId", Client(*address, "f" * 32, unique("alice")).login)
    refused("InvalidToken", Client(*address, SECURE, unique("alice"), token="007nonsense").login)
    refused("InvalidArgument", Client(*address, OPEN, "no'such'user").login)


def a_token_opens_its_project():
    name = unique("alice")
    arguments = ["token", "--app-id", SECURE, "--certificate", CERTIFICATE, "--uid", name, "--ttl", "1h"]
    token = subprocess.run([rtm, *arguments], check=True, capture_output=True, text=True, timeout=10).stdout.strip()
    alice = Client(*address, SECURE, name, token=token)
    assert alice.login() == "New"
    alice.logout()


def a_message_is_delivered_when_its_receiver_acknowledges_it():
    alice, bob = user("alice"), user("bob")
    texts = ["hi", "字" * 10_000, "x" * 300, b"\x00\xff\xfb"]
    sent = [alice.start_message(bob.user_id, content) for content in texts]
    for content in texts:
        _, event = bob.next_event("MessageFromPeer")
        assert (event["peer_id"], event["message"]) == (alice.user_id, content)
        assert abs(event["server_received_ts"] - time.time() * 1000) < 60_000 and not event["is_offline_message"]
    assert [alice.outcome(id) for id in sent] == ["Delivered"] * len(texts)


def a_message_to_nobody_is_stored_if_its_sender_wants_it():
    alice, name = user("alice"), unique("bob")
    assert alice.outcome(alice.start_message(name, "lost")) == "NotReceived"
    assert alice.outcome(alice.start_message(name, "kept", offline=True)) == "Stored"
    bob = Client(*address, OPEN, name)
    bob.login()
    _, event = bob.next_event("MessageFromPeer")
    assert event["message"] == "kept" and event["is_offline_message"]


def members_of_a_channel_get_its_messages():
    alice, bob, room = user("alice"), user("bob"), unique("room")
    refused("NotInChannel", alice.send_channel_message, room, "hi")
    alice.join_channel(room)
    bob.join_channel(room)
    assert alice.next_event("MemberJoined")[1]["member_id"] == bob.user_id
    for i in range(20):
        alice.send_channel_message(room, f"to all {i}")
    got = [bob.next_event("ChannelMessage")[1] for _ in range(20)]
    assert [event["message"] for event in got] == [f"to all {i}" for i in range(20)]
    assert {(event["channel_id"], event["member_id"]) for event in got} == {(room, alice.user_id)}
    bob.logout()
    assert alice.next_event("MemberLeft")[1] == {"channel_id": room, "member_id": bob.user_id, "member_count": 1}


def what_came_during_a_cut_comes_once_and_in_order():
    alice, bob, room = user("alice"), user("bob"), unique("room")
    alice.join_channel(room)
    bob.join_channel(room)
    first = alice.start_message(bob.user_id, "before")
    assert bob.next_event("MessageFromPeer")[1]["message"] == "before"
    assert alice.outcome(first) == "Delivered"
    bob.cut()
    sent = [alice.start_message(bob.user_id, f"missed {i}") for i in range(5)]
    alice.send_channel_message(room, "to all")
    assert bob.login() == "Resumed"
    after = [bob.next_event("MessageFromPeer", "ChannelMessage", "Gap")[1]["message"] for _ in range(6)]
    assert sorted(after) == sorted([f"missed {i}" for i in range(5)] + ["to all"]), after
    assert [content for content in after if content != "to all"] == [f"missed {i}" for i in range(5)]
    assert [alice.outcome(id) for id in sent] == ["Delivered"] * 5


def a_call_without_an_answer_is_asked_again_and_done_once():
    alice, bob = user("alice"), user("bob")
    first = alice.start_message(bob.user_id, "once")
    assert bob.next_event("MessageFromPeer")[1]["message"] == "once"
    alice.cut()
    assert alice.login() == "Resumed"
    assert alice.outcome(first) == "Delivered"
    assert alice.start_message(bob.user_id, "then") == first + 1
    assert bob.next_event("MessageFromPeer")[1]["message"] == "then"


def subscribers_are_told_who_is_there():
    alice, name = user("alice"), unique("bob")
    alice.call(3, number(1) + text(name))
    assert alice.next_event("PeersOnlineStatusChanged")[1]["peers"] == {name: "Offline"}
    bob = Client(*address, OPEN, name)
    bob.login()
    assert alice.next_event("PeersOnlineStatusChanged")[1]["peers"] == {name: "Online"}
    assert alice.call(2, number(2) + text(name) + text(alice.user_id)).peers() == {name: "Online", alice.user_id: "Online"}


def the_same_user_elsewhere_ends_the_session():
    alice = user("alice")
    other = Client(*address, OPEN, alice.user_id)
    assert other.login() == "New"
    try:
        alice.next_event("MessageFromPeer")
    except Closed as closed:
        assert closed.reason == "RemoteLogin" and not closed.may_come_back
    else:
        raise AssertionError("the session goes on")
    other.ping()


def the_window_holds_events_back():
    alice, bob = user("alice"), user("bob", window=4)
    for i in range(10):
        alice.start_message(bob.user_id, str(i))
    bob.ping()
    time.sleep(0.2)
    bob.ping()
    assert bob.received == 4, bob.received
    assert [bob.next_event("MessageFromPeer")[1]["message"] for _ in range(10)] == [str(i) for i in range(10)]


def the_side_that_was_asked_sends_the_pings():
    asked, by_itself = user("asked", keep_alive=("Server", 1000)), user("by-itself", keep_alive=("Client", 1000))
    while asked.pings < 2:
        asked.pump(time.monotonic() + 5)
    by_itself.ping()
    assert by_itself.pings == 0


def what_is_unknown_is_refused_or_passed_over():
    alice = user("alice")
    refused("Unsupported", alice.call, 200, text("from the future"))
    alice.send(b"\xc8" + text("may be passed over"), b"\x03")
    while alice.pongs < 1:
        alice.pump(time.monotonic() + 5)
    alice.call(15, text(unique("room")) + text("a field that was added"))
    alice.send(b"\x7f" + text("must be known"))
    try:
        while True:
            alice.pump(time.monotonic() + 5)
    except Closed as closed:
        assert closed.reason == "ProtocolError", closed


def another_version_is_refused():
    early = Client(*address, OPEN, unique("early"))
    early.socket = WebSocket(*address, time.monotonic() + 5)
    early.socket.send(bytes([VERSION + 1]) + binary(b"\x00"))
    refused("Unsupported", early.pump, time.monotonic() + 5)
    try:
        early.pump(time.monotonic() + 5)
    except Closed as closed:
        assert closed.code == 4000 and "version" in closed.text, closed


CASES = [
    a_login_is_welcomed_and_ends_with_a_logout, a_login_is_refused_with_its_reason, a_token_opens_its_project,
    a_message_is_delivered_when_its_receiver_acknowledges_it, a_message_to_nobody_is_stored_if_its_sender_wants_it,
    members_of_a_channel_get_its_messages, what_came_during_a_cut_comes_once_and_in_order,
    a_call_without_an_answer_is_asked_again_and_done_once, subscribers_are_told_who_is_there, the_same_user_elsewhere_ends_the_session,
    the_window_holds_events_back, the_side_that_was_asked_sends_the_pings, what_is_unknown_is_refused_or_passed_over,
    another_version_is_refused,
]


def play():
    failed = 0
    for case in CASES:
        start = time.monotonic()
        try:
            case()
            print(f"ok      {case.__name__} ({(time.monotonic() - start) * 1000:.0f} ms)", flush=True)
        except Exception:
            failed += 1
            print(f"FAILED  {case.__name__}\n{traceback.format_exc()}", flush=True)
    print(f"{len(CASES) - failed} passed, {failed} failed")
    return failed


options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
options.add_argument("--rtm", required=True, help="the program")
rtm = options.parse_args().rtm
server = subprocess.Popen(
    [rtm, "serve", "--listen", "127.0.0.1:0", "--project", OPEN, "--project", f"{SECURE}:{CERTIFICATE}"],
    stdout=subprocess.PIPE, text=True)
# Whatever hangs, it ends: with the server, or else with this process.
watch = threading.Timer(ALL_SECONDS, lambda: (print(f"no end within {ALL_SECONDS} s"), server.kill(), os._exit(1)))
watch.daemon = True
watch.start()
try:
    listening = re.fullmatch(r"listening on (.+):(\d+)\n", server.stdout.readline())
    address = listening[1], int(listening[2])
    failed = play()
finally:
    server.terminate()
    try:
        ended = server.wait(timeout=15)
    except subprocess.TimeoutExpired:
        server.kill()
        ended = "no exit"
if ended != 0:
    print(f"FAILED  the server ended with {ended}")
sys.exit(1 if failed or ended != 0 else 0)
