#!/bin/sh
# Installs what the comparison is made with: servers and tools of Debian, and the vendor's SDK for Node.
set -eu
cd "$(dirname "$0")"
apt-get update
apt-get install --yes --no-install-recommends nats-server redis-server strace
npm ci --prefix vendor-sdk
