#!/usr/bin/env bash
# Installs the Debian package FILE, runs its service as its user, has the vendor's SDK log in, and upgrades, removes and purges it.
# It changes the machine, needs root, and leaves nothing: .ci/debian.sh FILE
set -euo pipefail
cd "$(dirname "$0")/.."

package=$1
scratch=$(mktemp -d)
server=
end() {
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
  dpkg --purge rtm >/dev/null 2>&1 || true
  rm -rf "$scratch"
}
trap end EXIT
fail() { echo "$1" >&2; exit 1; }
quietly() { "$@" >"$scratch/log" 2>&1 || { cat "$scratch/log" >&2; fail "$* ended with an error"; }; }

# is MODE OWNER FILE
is() {
  [ "$(stat -c '%a %U:%G' "$3")" = "$1 $2" ] || fail "$3 is $(stat -c '%a %U:%G' "$3")"
}

# serves: the service as systemd would start it, but at free ports; the SDK logs in; it ends as it is asked to.
serves() {
  local unit=/usr/lib/systemd/system/rtm.service command user line=
  command=$(sed -n 's/^ExecStart=//p' "$unit")
  user=$(sed -n 's/^User=//p' "$unit")
  # Not what the last one said.
  : >"$scratch/out"
  # shellcheck disable=SC2086
  (umask "$(sed -n 's/^UMask=//p' "$unit")" && exec env -i PATH=/usr/bin:/bin RTM_LISTEN=127.0.0.1:0 RTM_ADMIN__LISTEN=127.0.0.1:0 \
    setpriv --reuid="$user" --regid="$user" --init-groups --no-new-privs $command) >"$scratch/out" 2>"$scratch/err" &
  server=$!
  for _ in $(seq 100); do
    line=$(sed -n 's/^listening on //p' "$scratch/out")
    [ -z "$line" ] || break
    sleep 0.1
  done
  [ -n "$line" ] || { cat "$scratch/err" >&2; fail "the service does not start"; }
  [ "$(stat -c %U "/proc/$server")" = rtm ] || fail "the service runs as another user"
  timeout 60 node interop/login.mjs --server "$line" --app-id "$(sed -n 's/^app_id = "\(.*\)"/\1/p' /etc/rtm/rtm.toml)"
  /usr/bin/rtm admin --url "http://$(sed -n 's/^admin on //p' "$scratch/out")" ready >"$scratch/ready"
  grep -qx ready "$scratch/ready" || fail "the service is not ready"
  kill "$server"
  wait "$server" || { cat "$scratch/err" >&2; fail "the service ended with an error"; }
  server=
  is 600 rtm:rtm /var/lib/rtm/rtm.redb
}

dpkg --purge rtm >/dev/null 2>&1 || true
quietly dpkg --install "$package"
is 640 root:rtm /etc/rtm/rtm.toml
is 750 root:rtm /etc/rtm
is 750 rtm:rtm /var/lib/rtm
/usr/bin/rtm config check /etc/rtm/rtm.toml
quietly systemd-analyze verify --man=no rtm.service rtm.socket rtm-admin.socket
for file in man/man1/rtm.1.gz man/man1/rtm-serve.1.gz doc/rtm/changelog.gz doc/rtm/copyright doc/rtm/rtm.cdx.json \
  doc/rtm/third-party-licences.txt.gz bash-completion/completions/rtm zsh/vendor-completions/_rtm fish/vendor_completions.d/rtm.fish; do
  [ -s "/usr/share/$file" ] || [[ $file = doc/* && ! -d /usr/share/doc/rtm ]] || fail "there is no /usr/share/$file"
done
bash -c '. /usr/share/bash-completion/completions/rtm && complete -p rtm' >/dev/null || fail "bash does not complete"
quietly systemctl enable rtm.service rtm.socket
serves

# An upgrade, and an installation after a removal: what was changed in the configuration stays, and so does the data.
echo "# mine" >>/etc/rtm/rtm.toml
chmod 600 /etc/rtm/rtm.toml
dpkg-deb --raw-extract "$package" "$scratch/next"
sed -i 's/^Version: .*/&.1/' "$scratch/next/DEBIAN/control"
quietly dpkg-deb --root-owner-group -Znone --build "$scratch/next" "$scratch/next.deb"
quietly dpkg --install "$scratch/next.deb"
[ "$(tail -n 1 /etc/rtm/rtm.toml)" = "# mine" ] || fail "the upgrade changed the configuration"
is 600 root:rtm /etc/rtm/rtm.toml
quietly dpkg --remove rtm
[ ! -e /usr/bin/rtm ] || fail "rtm is still there"
[ "$(tail -n 1 /etc/rtm/rtm.toml)" = "# mine" ] && [ -s /var/lib/rtm/rtm.redb ] || fail "a removal took what only a purge may"
quietly dpkg --install "$package"
chmod 640 /etc/rtm/rtm.toml
serves

quietly dpkg --purge rtm
for left in /etc/rtm /var/lib/rtm /usr/bin/rtm /usr/share/doc/rtm; do
  [ ! -e "$left" ] || fail "a purge leaves $left"
done
[ -z "$(find /etc/systemd -name 'rtm*')" ] || fail "a purge leaves $(find /etc/systemd -name 'rtm*')"
! getent passwd rtm >/dev/null && ! getent group rtm >/dev/null || fail "a purge leaves the user rtm"

# From nothing once more.
quietly dpkg --install "$package"
serves
