"""nginx, haproxy and caddy, unpacked from Debian's packages, as reverse proxies in front of one port."""

import contextlib
import os
import socket
import subprocess
import time

UPGRADE = (
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
HANDSHAKE = b"GET / HTTP/1.1\r\nHost: find.test\r\n" + UPGRADE + b"\r\n"
_NGINX = """
daemon off; pid {home}/nginx.pid; events {{}}
http {{
    access_log off;
    client_body_temp_path {home}/1; proxy_temp_path {home}/2; fastcgi_temp_path {home}/3;
    uwsgi_temp_path {home}/4; scgi_temp_path {home}/5;
    map $http_upgrade $connection_upgrade {{ default upgrade; "" close; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{backend};
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
        }}
    }}
}}
"""
_HAPROXY = """
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
listen find
    bind 127.0.0.1:{port}
    server backend 127.0.0.1:{backend}
"""
_CADDY = """
{{
    admin off
    auto_https off
}}
:{port} {{
    bind 127.0.0.1
    reverse_proxy 127.0.0.1:{backend}
}}
http://named.test:{named} {{
    bind 127.0.0.1
    reverse_proxy 127.0.0.1:{backend}
}}
"""
_COMMANDS = {
    "nginx": (_NGINX, ["sbin/nginx", "-e", "{home}/nginx.log", "-c"]),
    "haproxy": (_HAPROXY, ["sbin/haproxy", "-f"]),
    "caddy": (_CADDY, ["bin/caddy", "run", "--adapter", "caddyfile", "--config"]),
}


@contextlib.contextmanager
def proxies(backend):
    """Runs all three in front of the port `backend`; yields their ports by name.

    "caddy" serves any host, "caddy, named" only the host named.test.
    """
    home = os.environ["FIND_FOLDER"]
    ports = {"caddy, named": free_port()}
    with contextlib.ExitStack() as stack:
        for name, (template, command) in _COMMANDS.items():
            ports[name] = free_port()
            config = os.path.join(home, f"{name}.conf")
            with open(config, "w") as file:
                file.write(template.format(home=home, port=ports[name], named=ports["caddy, named"], backend=backend))
            arguments = [argument.format(home=home) for argument in command[1:]]
            process = subprocess.Popen(
                [os.path.join(home, "root", "usr", command[0]), *arguments, config],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "HOME": home},
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)
        for port in ports.values():
            wait_for(port)
        yield ports


def request(port, upgrade=True, half_close=False, host="find.test"):
    """The whole answer to a GET, or what came within 2 s: with a WebSocket handshake unless `upgrade` is False."""
    text = f"GET / HTTP/1.1\r\nHost: {host}\r\n".encode()
    if upgrade:
        text += UPGRADE
    answer = b""
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.settimeout(2)
        connection.sendall(text + b"\r\n")
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(TimeoutError, ConnectionResetError):
            while part := connection.recv(65536):
                answer += part
    return answer


def free_port():
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def wait_for(port):
    """Waits until somebody listens on the port."""
    deadline = time.monotonic() + 15
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise SystemExit(f"no proxy listens on port {port}")
            time.sleep(0.1)
