"""ASGI servers by name: each runs an application of its own process, whose lines are read here."""

import contextlib
import os
import socket
import subprocess
import sys
import time

_ARGUMENTS = {
    "uvicorn": ["--log-level", "critical", "--port", "{port}", "app:app"],
    "hypercorn": ["--log-level", "critical", "--bind", "127.0.0.1:{port}", "app:app"],
    "daphne": ["--verbosity", "0", "--port", "{port}", "app:app"],
    "granian": ["--no-log", "--interface", "asgi", "--port", "{port}", "app:app"],
}
# What each application starts with: a life span, and `say`, which writes a line.
_START = """\
import json, os

def say(*values):
    with open(os.environ["FIND_LINES"], "a") as file:
        file.write(json.dumps(values) + "\\n")

async def app(scope, receive, send):
    if scope["type"] == "websocket":
        return await websocket(scope, receive, send)
    while True:
        kind = (await receive())["type"]
        await send({"type": kind + ".complete"})
        if kind.endswith("shutdown"):
            return

"""


@contextlib.contextmanager
def asgi_server(name, websocket):
    """Runs the server called `name` with the text of an `async def websocket(scope, receive, send)`; yields its address and where
    the lines go."""
    folder = os.environ["FIND_FOLDER"]
    lines = os.path.join(folder, f"{name}.lines")
    open(lines, "w").close()
    with open(os.path.join(folder, "app.py"), "w") as file:
        file.write(_START + websocket)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arguments = [argument.format(port=port) for argument in _ARGUMENTS[name]]
    server = subprocess.Popen(
        [sys.executable, "-m", name, *arguments],
        cwd=folder,
        env={**os.environ, "FIND_LINES": lines},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(200):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port)).close()
                break
            time.sleep(0.1)
        yield f"ws://127.0.0.1:{port}/", lines
    finally:
        server.terminate()
        server.wait(20)
