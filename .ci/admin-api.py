#!/usr/bin/env python3
"""Runs the committed description of the admin API through schemathesis, against a server of its own with users and a webhook.

    RTM=target/debug/rtm TOOLS=target/schemathesis .ci/admin-api.py [ARGUMENTS OF SCHEMATHESIS...]

RTM is the program, TOOLS the folder with the Python packages of .ci/schemathesis.txt. The inputs are the same in each run.
"""

import contextlib
import http.server
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request

DOCUMENT = pathlib.Path(__file__).resolve().parent.parent / "docs/admin-api.json"
RTM = pathlib.Path(os.environ.get("RTM", "target/debug/rtm")).resolve()
TOOLS = pathlib.Path(os.environ.get("TOOLS", "target/schemathesis")).resolve()
APP_ID, CERTIFICATE = "0123456789abcdef0123456789abcdef", "5cfd2fd1755d40ecb72977518be15d3b"
# Most ids that are sent are of what there is.
NAMES = {"app_id": [APP_ID], "user_id": ["alice", "bob", "carol"], "channel_id": ["lobby", "empty"], "name": ["shop"]}

# Calls that are left out, and why.
NO_CALL = {"drain": "it ends the server; it is the last call of this script"}
# These send users away, without whom the other calls would find nothing: they come behind them.
LAST = ["ban", "delete_data", "kick", "revoke_all_tokens", "revoke_tokens"]
# Checks that are left out, and why.
NO_CHECK = {
    "positive_data_acceptance": "ids, levels and times have rules that JSON Schema cannot say, and events are asked of a user or of a channel",
    "ignored_auth": "ten wrong keys shut their address out for a minute, all further calls too; here they are made without a key",
}


class Taker(http.server.BaseHTTPRequestHandler):
    """A back end that takes every event."""

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def rtm(*arguments, **options):
    return subprocess.run([RTM, *arguments], check=True, capture_output=True, text=True, timeout=60, **options).stdout


@contextlib.contextmanager
def running(log, *arguments):
    with open(log, "w") as stderr:
        process = subprocess.Popen([RTM, *arguments], stdout=subprocess.PIPE, stderr=stderr, stdin=subprocess.DEVNULL, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def server_config(table, hook):
    return f"""listen = "127.0.0.1:0"
log.level = "warn"
{table}
[admin]
listen = "127.0.0.1:0"
[[project]]
app_id = "{APP_ID}"
certificates = ["{CERTIFICATE}"]
[[project.webhook]]
name = "shop"
url = "{hook}"
secrets = ["whsec_{'A' * 32}"]
allow_private = true
"""


def schemathesis_config(key, url):
    lines = [
        f'base-url = "{url}"',
        f'headers = {{ Authorization = "Bearer {key}" }}',
        "request-timeout = 20.0",
        "continue-on-failure = true",
        "warnings = false",
        # How slow this machine is says nothing of the server.
        'suppress-health-check = ["all"]',
        "[generation]",
        "deterministic = true",
        "max-examples = 10",
    ]
    lines += (line for check in NO_CHECK for line in (f"[checks.{check}]", "enabled = false"))
    lines += ["[dictionaries]", *(f"{name} = {{ values = {json.dumps(values)} }}" for name, values in NAMES.items())]
    lines += ["[parameters]", *(f'"path.{name}" = {{ dictionary = "{name}", probability = 0.8 }}' for name in NAMES)]
    return "\n".join(lines)


def answers_without_key(url):
    """Calls that are answered though no key is shown."""
    for path, calls in json.loads(DOCUMENT.read_text())["paths"].items():
        for method in calls:
            request = urllib.request.Request(url + path.replace("{", "").replace("}", ""), method=method.upper())
            try:
                urllib.request.urlopen(request, timeout=20).close()
                yield f"{method} {path} needs no key"
            except urllib.error.HTTPError as refused:
                if refused.code != 401:
                    yield f"{method} {path} without a key: {refused.code}"


def main():
    taker = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Taker)
    threading.Thread(target=taker.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        folder = pathlib.Path(folder)
        key, table = rtm("admin", "new-key", "--name", "schemathesis", "--role", "admin").split("\n\n", 1)
        (folder / "rtm.toml").write_text(server_config(table, f"http://127.0.0.1:{taker.server_port}/"))
        arguments = ["--config", folder / "rtm.toml", "--data-dir", folder / "data"]
        server = stack.enter_context(running(folder / "server.log", "serve", *arguments))
        public, admin = (server.stdout.readline().strip().rsplit(" ", 1)[1] for _ in range(2))
        url = f"http://{admin}"

        # Users who are there, messages that wait, histories and attributes.
        os.environ.update(RTM_GATEWAY=f"http://{public}", RTM_APP_ID=APP_ID)
        tokens = {user: rtm("token", "--certificate", CERTIFICATE, "--uid", user).strip() for user in NAMES["user_id"]}
        alice, bob = (["--uid", user, "--token", tokens[user]] for user in ("alice", "bob"))
        listener = stack.enter_context(running(folder / "listen.log", "listen", *alice, "--channel", "lobby"))
        listener.stdout.readline()
        rtm("send", *bob, "--to", "alice", "--history", "hello")
        rtm("send", *bob, "--to", "carol", "--offline", "are you there?")
        rtm("send", *bob, "--channel", "lobby", "--history", "hello")
        rtm("attributes", "set", *bob, "--channel", "lobby", "topic=this")

        (folder / "schemathesis.toml").write_text(schemathesis_config(key, url))
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", folder / "schemathesis.toml", "run"]
        environment = dict(os.environ, PYTHONPATH=str(TOOLS))
        faults = []
        for calls in (
            [f"--exclude-operation-id={name}" for name in [*NO_CALL, *LAST]],
            [f"--include-operation-id={name}" for name in LAST],
        ):
            run = subprocess.run([*command, DOCUMENT, *sys.argv[1:], *calls], env=environment, cwd=folder)
            if run.returncode != 0:
                faults.append(f"schemathesis ended with {run.returncode}")
        faults += answers_without_key(url)

        # It has lived through all that, and goes down as it is asked to.
        rtm("admin", "drain", env=dict(os.environ, RTM_ADMIN_URL=url, RTM_ADMIN_KEY=key))
        ended = server.wait(60)
        if ended != 0:
            faults.append(f"the server ended with {ended}")
        if faults:
            print((folder / "server.log").read_text()[-4000:])
    if faults:
        sys.exit("\n".join(faults))


main()
