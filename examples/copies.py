"""Runs the examples that can be copied out of the workspace, as their users would: copies.py FOLDER, where they and rtm are built."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

APP_ID = "0123456789abcdef0123456789abcdef"
CERTIFICATE = "5CFd2fd1755d40ecb72977518be15d3b"
LIMIT = 30


class Program:
    """A program whose lines are read as they come."""

    def __init__(self, *arguments, **settings):
        environment = {**os.environ, "RTM_APP_ID": APP_ID, "RTM_CERTIFICATE": CERTIFICATE, **settings}
        self.name = os.path.basename(arguments[0])
        self.process = subprocess.Popen(
            [os.path.join(sys.argv[1], arguments[0]), *arguments[1:]],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        started.append(self)

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def line(self, *parts):
        """The next line that has all these parts."""
        passed, end = [], time.monotonic() + LIMIT
        while True:
            try:
                line = self.lines.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                line = None
            if line is None:
                sys.exit(f"{self.name} did not print {parts}; it printed {passed}")
            if all(part in line for part in parts):
                return line
            passed.append(line)

    def interrupt(self):
        """Ctrl-c, at which it ends well."""
        self.process.send_signal(signal.SIGINT)
        status = self.process.wait(LIMIT)
        if status != 0:
            sys.exit(f"{self.name} ended with {status}")


started = []


def token(user_id):
    arguments = [os.path.join(sys.argv[1], "rtm"), "token", "--app-id", APP_ID, "--certificate", CERTIFICATE, "--uid", user_id]
    return subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def listen(gateway, user_id, its_token, room):
    program = Program(
        "rtm", "listen", "--gateway", gateway, "--app-id", APP_ID, "--uid", user_id, "--token", its_token, "--channel", room
    )
    program.line('"CONNECTED"')
    return program


def send(gateway, user_id, its_token, *where_and_what):
    arguments = [os.path.join(sys.argv[1], "rtm"), "send", "--gateway", gateway, "--app-id", APP_ID, "--uid", user_id]
    subprocess.run([*arguments, "--token", its_token, *where_and_what], check=True, stdout=subprocess.DEVNULL, timeout=LIMIT)


def bot():
    serve = ["rtm", "serve", "--project", f"{APP_ID}:{CERTIFICATE}"]
    server = Program(*serve, "--listen", "127.0.0.1:0")
    gateway = server.line("listening on").split()[-1]
    address = gateway.removeprefix("http://")
    its_bot = Program("rtm-bot", RTM_GATEWAY=gateway, RTM_UID="bot", RTM_ROOM="lobby", RTM_OWNER="alice")
    its_bot.line("bot is in lobby")
    alice = listen(gateway, "alice", token("alice"), "lobby")
    alice.line("MessageFromPeer", '"peer_id":"bot"', "in lobby")

    send(gateway, "carol", token("carol"), "--channel", "lobby", "/hello")
    alice.line("ChannelMessage", "hello carol")
    send(gateway, "carol", token("carol"), "--channel", "lobby", "/who")
    alice.line("ChannelMessage", '"member_id":"bot"', "alice")
    send(gateway, "carol", token("carol"), "--channel", "lobby", "/topic tea")
    alice.line("AttributesUpdated", '"value":"tea"')
    send(gateway, "carol", token("carol"), "--channel", "lobby", "/topic")
    alice.line("ChannelMessage", "tea (set by bot)")
    send(gateway, "carol", token("carol"), "--channel", "lobby", "/note buy milk")
    alice.line("ChannelMessage", "carol notes: buy milk")
    send(gateway, "carol", token("carol"), "--channel", "lobby", "/notes")
    alice.line("ChannelMessage", '"text":"carol notes: buy milk"')
    send(gateway, "carol", token("carol"), "--to", "bot", "no command")

    # The server crashes, and another takes its place: everybody comes back.
    server.process.kill()
    server.process.wait(LIMIT)
    server = Program(*serve, "--listen", address)
    server.line("listening on")
    its_bot.line("CONNECTED", "LOGIN_SUCCESS")
    alice.line("CONNECTED", "LOGIN_SUCCESS")
    # Who is connected has yet to join its channel again.
    alice.line("MemberCountUpdated", '"member_count":2')
    send(gateway, "dave", token("dave"), "--channel", "lobby", "/hello")
    alice.line("ChannelMessage", "hello dave")

    its_bot.interrupt()
    alice.line("MemberLeft", "bot")
    server.interrupt()
    print("the bot answers, survives a server that crashes, and leaves at ctrl-c")


def ask(method, url, body=None):
    """The status and the body of an answer; 503 is asked again, since the back end may be just logging in."""
    end = time.monotonic() + LIMIT
    while True:
        request = urllib.request.Request(url, method=method, data=None if body is None else body.encode())
        request.add_header("Content-Type", "text/plain")
        try:
            with urllib.request.urlopen(request, timeout=LIMIT) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as answer:
            if answer.code != 503 or time.monotonic() > end:
                return answer.code, answer.read().decode()
        time.sleep(0.05)


def expect(what, got, wanted):
    if got != wanted:
        sys.exit(f"{what}: {got!r} and not {wanted!r}")


def backend():
    program = Program("rtm-axum-backend", LISTEN="127.0.0.1:0")
    url = program.line("listening on").split()[-1]
    status, its_token = ask("POST", f"{url}/tokens/alice")
    expect("a token", status, 200)
    alice = listen(url, "alice", its_token, "lobby")

    expect("a message", ask("POST", f"{url}/users/alice/messages", "hi"), (200, '{"outcome":"delivered"}'))
    alice.line("MessageFromPeer", '"backend"', '"hi"')
    expect("nobody", ask("POST", f"{url}/users/nobody/messages", "hi"), (200, '{"outcome":"not_received"}'))
    expect("a channel message", ask("POST", f"{url}/channels/lobby/messages", "all"), (200, '{"outcome":"accepted"}'))
    alice.line("ChannelMessage", '"backend"', '"all"')
    status, members = ask("GET", f"{url}/channels/lobby/members")
    expect("members", (status, sorted(json.loads(members))), (200, ["alice", "backend"]))
    expect("a user id that is none", ask("POST", f"{url}/users/a%20%22b/messages", "hi")[0], 400)
    expect("a path that is nobody's", ask("GET", f"{url}/nothing")[0], 404)

    with urllib.request.urlopen(f"{url}/events", timeout=LIMIT) as events:
        send(url, "bob", ask("POST", f"{url}/tokens/bob")[1], "--to", "backend", "for your page")
        while b"for your page" not in events.readline():
            pass
    program.interrupt()
    print("the back end gives tokens, sends, lists members, tells events, and ends at ctrl-c")


try:
    bot()
    backend()
finally:
    for program in started:
        program.process.kill()
