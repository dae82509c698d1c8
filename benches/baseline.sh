#!/bin/sh
# Measures the baseline on this machine, into benches/baselines/COMMIT: what its parts without IO execute, and how it
# compares with both releases of NATS. Its own programs do that, so that it stays what it was. Needs benches/setup.sh,
# valgrind and a quiet machine. Takes some 15 minutes, and those that cargo takes.
set -eu
commit=a4f9e6f
cd "$(dirname "$0")/.."
here=$PWD
checkout=$here/target/baseline
out=$here/benches/baselines/$commit
recent=$here/target/nats-server/bin
[ -x "$recent/nats-server" ] || { echo "benches/setup.sh first" >&2; exit 1; }

[ -d "$checkout" ] || git worktree add --quiet --detach "$checkout" "$commit"
[ "$(git -C "$checkout" rev-parse HEAD)" = "$(git rev-parse "$commit")" ] || { echo "$checkout is at another commit" >&2; exit 1; }
# Its cases are those of today, and it measures idle connections over TLS as well.
git -C "$checkout" checkout --quiet -- .
git -C "$checkout" apply "$out/cases.patch" "$out/idle-over-tls.patch"
# In a common target folder its programs would replace those of this checkout.
(cd "$checkout" && env -u CARGO_TARGET_DIR cargo build --release -p benches --bins)
mkdir -p "$out"
"$checkout/target/release/instructions" --write --figures "$out/instructions.json"

echo "waiting for a load below 0.5"
tries=60
while awk '{ exit $1 < 0.5 }' /proc/loadavg; do
  tries=$((tries - 1))
  [ $tries -gt 0 ] || { echo "the machine is not quiet: load $(cut -d' ' -f1 /proc/loadavg)" >&2; exit 1; }
  sleep 10
done
{
  lscpu | grep -E '^(Model name|CPU family|Model|CPU\(s\)):' | sed 's/: */: /'
  echo "Linux: $(uname -r | cut -d- -f1)"
  rustc --version
  echo "measured: $(date -u +%F)"
} >"$out/machine.txt"
# It takes the first nats-server of the path, and calls each of them NATS.
for folder in "$recent" /usr/sbin; do
  version=$("$folder/nats-server" --version | sed 's/.*v//')
  echo "NATS $version"
  PATH=$folder:$PATH "$checkout/target/release/compare" --rounds 5 --candidate NATS \
    --only 'peer to peer' --only fan-out --only 'round trip' --only idle --only wake-ups \
    --json "$out/nats-$version.json" >"$out/nats-$version.md"
done
