#!/usr/bin/env bash
# Makes a Debian package of a program that is built: packages/debian/build.sh [BINARY [DIRECTORY]]. Prints the name of the package.
# BINARY is target/release/rtm unless it is given, DIRECTORY is target. The same program and SOURCE_DATE_EPOCH make the same package.
# DEBFULLNAME and DEBEMAIL name whoever looks after the package. It needs dpkg-dev, binutils, cargo and Python 3.11.
set -euo pipefail
cd "$(dirname "$0")/../.."

binary=$(realpath "${1:-target/release/rtm}")
directory=$(realpath "${2:-target}")
here=packages/debian
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
umask 022

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
[ "$("$binary" --version)" = "rtm $version" ] || { echo "$binary is not rtm $version" >&2; exit 1; }
# A version before another one, as 0.2.0-rc.1 is, sorts before it.
debian_version=${version/-/\~}-1
architecture=$(dpkg --print-architecture)
maintainer="${DEBFULLNAME:-The RTM for Rust authors} <${DEBEMAIL:-rtm@localhost.invalid}>"
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)}
export SOURCE_DATE_EPOCH

# put MODE FILE PATH: a file of the package.
put() {
  install -D -m "$1" "$2" "$root/$3"
}

put 755 "$binary" usr/bin/rtm
strip --strip-unneeded --remove-section=.comment --remove-section=.note "$root/usr/bin/rtm"
for unit in packages/systemd/*; do put 644 "$unit" "usr/lib/systemd/system/$(basename "$unit")"; done
put 640 "$here/rtm.toml" etc/rtm/rtm.toml
chmod 750 "$root/etc/rtm"

mkdir -p "$root/usr/share/man/man1"
"$binary" man --dir "$root/usr/share/man/man1" >/dev/null
mkdir -p "$root"/usr/share/{bash-completion/completions,zsh/vendor-completions,fish/vendor_completions.d}
"$binary" completions bash >"$root/usr/share/bash-completion/completions/rtm"
"$binary" completions zsh >"$root/usr/share/zsh/vendor-completions/_rtm"
"$binary" completions fish >"$root/usr/share/fish/vendor_completions.d/rtm.fish"

doc=usr/share/doc/rtm
for page in README.md docs/*.md; do put 644 "$page" "$doc/$(basename "$page")"; done
put 644 crates/rtm-server/src/config/example.toml "$doc/examples/rtm.toml"
for file in packages/prometheus/* packages/grafana/*; do put 644 "$file" "$doc/examples/$(basename "$file")"; done
{ cat "$here/copyright"; sed '1,/^Copyright/d; s/^$/./; s/^/ /' LICENSE | sed '1d'; } >"$work/copyright"
put 644 "$work/copyright" "$doc/copyright"
put 644 CHANGELOG.md "$doc/changelog"
cat >"$work/changelog" <<END
rtm ($debian_version) unstable; urgency=medium

  * Version $version: changelog.gz has what is new.

 -- $maintainer  $(date --utc --rfc-email --date="@$SOURCE_DATE_EPOCH")
END
put 644 "$work/changelog" "$doc/changelog.Debian"
packages/sbom.py >"$work/sbom" && put 644 "$work/sbom" "$doc/rtm.cdx.json"
packages/sbom.py --licences >"$work/licences" && put 644 "$work/licences" "$doc/third-party-licences.txt"
gzip -9n "$root/$doc"/{changelog,changelog.Debian,third-party-licences.txt} "$root"/usr/share/man/man1/*

mkdir -p "$root/DEBIAN" "$root/usr/share/lintian/overrides"
put 644 "$here/lintian-overrides" usr/share/lintian/overrides/rtm

# What dpkg-shlibdeps reads is a source package.
mkdir -p "$work/source/debian"
printf 'Source: rtm\n\nPackage: rtm\nArchitecture: any\n' >"$work/source/debian/control"
libraries=$(cd "$work/source" && dpkg-shlibdeps -O --warnings=0 "$root/usr/bin/rtm" | sed -n 's/^shlibs:Depends=//p')

cat >"$root/DEBIAN/control" <<END
Package: rtm
Version: $debian_version
Architecture: $architecture
Maintainer: $maintainer
Installed-Size: $(du -sk --apparent-size --exclude=DEBIAN "$root" | cut -f 1)
Depends: $libraries, adduser
Recommends: ca-certificates
Section: net
Priority: optional
Description: server for real-time messaging, and its command line
 The users of an application send each other messages, talk in channels, see
 who is online, share attributes and invite each other to calls. The server
 takes clients of anyRTC's RTM SDK for JavaScript, and clients in Rust.
 .
 The service is not started by the installation: give /etc/rtm/rtm.toml a
 project of your own, then run "systemctl enable --now rtm".
END
echo /etc/rtm/rtm.toml >"$root/DEBIAN/conffiles"
for script in postinst prerm postrm; do install -m 755 "$here/$script" "$root/DEBIAN/$script"; done
(cd "$root" && find . -type f ! -path './DEBIAN/*' ! -path ./etc/rtm/rtm.toml -printf '%P\0' | LC_ALL=C sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"

package=$directory/rtm_${debian_version}_$architecture.deb
dpkg-deb --root-owner-group --uniform-compression ${DEB_COMPRESSION:+"-Z$DEB_COMPRESSION"} --build "$root" "$package" >/dev/null
echo "$package"
