# Sourced by every find: a temporary folder with the pinned packages, removed at the exit with all that runs in it.
set -euo pipefail

lib=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)

clean_up() {
  local pids
  pids=$(jobs -p)
  if [ -n "$pids" ]; then
    kill $pids 2>/dev/null || true
    wait $pids 2>/dev/null || true
  fi
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# python_packages NAME==VERSION...: installs them into the temporary folder, for run_python.
python_packages() {
  timeout 120 python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-compile \
    --target "$work/python" "$@"
  printf 'package: %s\n' "$@"
}

# node_packages NAME@VERSION...: installs them into the temporary folder, for run_node.
node_packages() {
  (cd "$work" && timeout 120 npm install --silent --no-audit --no-fund --no-save --ignore-scripts --prefix "$work" "$@" >/dev/null)
  printf 'package: %s\n' "$@"
}

# debian_packages NAME...: unpacks them into the temporary folder without installing them.
debian_packages() {
  mkdir -p "$work/debian"
  (cd "$work/debian" && timeout 120 apt-get download "$@" >"$work/apt.log" 2>&1) || { cat "$work/apt.log" >&2; return 1; }
  local package
  for package in "$work"/debian/*.deb; do
    dpkg-deb -x "$package" "$work/root"
    printf 'package: %s %s\n' "$(dpkg-deb -f "$package" Package)" "$(dpkg-deb -f "$package" Version)"
    rm "$package"
  done
  LD_LIBRARY_PATH=$(find "$work/root" -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)
  export LD_LIBRARY_PATH
}

# run_python: runs the program on standard input with the packages, 90 s at most.
run_python() {
  cat >"$work/program.py"
  PYTHONPATH="$work/python:$lib" PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 FIND_FOLDER="$work" \
    timeout 90 python3 "$work/program.py" "$@"
}

# run_node: runs the CommonJS program on standard input with the packages, 90 s at most.
run_node() {
  cat >"$work/program.cjs"
  NODE_PATH="$work/node_modules:$lib" FIND_FOLDER="$work" timeout 90 node "$work/program.cjs" "$@"
}

# run_rust NAME=VERSION[:FEATURE,FEATURE]...: builds the program on standard input with the crates and runs it.
run_rust() {
  mkdir -p "$work/rust/src"
  cat >"$work/rust/src/main.rs"
  printf '[package]\nname = "find"\nversion = "0.0.0"\nedition = "2021"\n[workspace]\n[dependencies]\n' >"$work/rust/Cargo.toml"
  local crate version features
  for crate in "$@"; do
    version=${crate#*=} features=
    [[ $version = *:* ]] && features=${version#*:} version=${version%%:*}
    printf '%s = { version = "=%s", features = [%s] }\n' "${crate%%=*}" "$version" \
      "$(sed 's/[^,][^,]*/"&"/g' <<<"$features")" >>"$work/rust/Cargo.toml"
    printf 'package: %s %s\n' "${crate%%=*}" "$version"
  done
  (cd "$work/rust" && CARGO_TARGET_DIR=$work/rust/target timeout 300 cargo build --quiet)
  timeout 90 "$work/rust/target/debug/find"
}

# run_node_with_nats: the same beside a nats-server, whose address is in NATS_URL.
run_node_with_nats() {
  cat >"$work/program.cjs"
  NODE_PATH="$work/node_modules:$lib" PYTHONDONTWRITEBYTECODE=1 FIND_FOLDER="$work" \
    timeout 90 python3 "$lib/nats_server.py" node "$work/program.cjs"
}
