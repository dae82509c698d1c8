#!/usr/bin/env bash
# nginx 1.22.1 (Debian 12) as a reverse proxy: proxy_read_timeout and proxy_send_timeout on an open WebSocket.
#
# guess: as documented, proxy_read_timeout runs "between two successive read operations" from the server: where only the client
#        speaks, the connection is closed after it; where only the server speaks, after proxy_send_timeout.
# seen:  traffic in either direction keeps the connection: with 1 s for both, one where only the client, or only the server, says
#        something every 0.4 s is open after 4 s. Without traffic it is closed after 1 s, without a close frame.
# so:    pings of one side alone keep the connection, whichever side it is; a side that has fallen silent is not noticed by nginx.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
debian_packages nginx
run_python <<'PYTHON'
import os
import socket
import subprocess
import threading
import time

from find import seen
from proxies import UPGRADE, free_port, wait_for
from raw_websocket import accept_answer, frame, serve_handshake

CONFIG = """
daemon off; pid {home}/nginx.pid; events {{}}
http {{
    access_log off;
    client_body_temp_path {home}/1; proxy_temp_path {home}/2; fastcgi_temp_path {home}/3;
    uwsgi_temp_path {home}/4; scgi_temp_path {home}/5;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{backend};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
            proxy_read_timeout 1s;
            proxy_send_timeout 1s;
        }}
    }}
}}
"""
SECONDS = 4


def speak(connection, until):
    while time.monotonic() < until:
        try:
            connection.sendall(frame(1, b"hi"))
        except OSError:
            return
        time.sleep(0.4)


def backend(connection, request):
    connection.sendall(accept_answer(request))
    if b"/server " in request:
        speak(connection, time.monotonic() + SECONDS + 1)
    while connection.recv(4096):
        pass


def open_for(who):
    """How long a connection on which only `who` speaks is open, in whole seconds, and the last bytes that came."""
    connection = socket.create_connection(("127.0.0.1", port), 5)
    connection.sendall(f"GET /{who} HTTP/1.1\r\nHost: find.test\r\n".encode() + UPGRADE + b"\r\n")
    start, last = time.monotonic(), b""
    if who == "client":
        threading.Thread(target=speak, args=(connection, start + SECONDS + 1), daemon=True).start()
    while (left := start + SECONDS - time.monotonic()) > 0:
        connection.settimeout(left)
        try:
            part = connection.recv(4096)
        except TimeoutError:
            break
        if not part:
            return round(time.monotonic() - start), b"\x88" in last.rpartition(b"\r\n\r\n")[2]
        last = part
    return SECONDS, False


home = os.environ["FIND_FOLDER"]
port = free_port()
config = os.path.join(home, "nginx.conf")
with open(config, "w") as file:
    file.write(CONFIG.format(home=home, port=port, backend=serve_handshake(backend)))
nginx = subprocess.Popen([os.path.join(home, "root/usr/sbin/nginx"), "-e", f"{home}/error.log", "-c", config])
try:
    wait_for(port)
    for who, expected in (("nobody", (1, False)), ("client", (SECONDS, False)), ("server", (SECONDS, False))):
        seen(f"{who} speaks: open for (s), a close frame came", open_for(who), expected)
finally:
    nginx.terminate()
    nginx.wait()
PYTHON
