#!/usr/bin/env python3
"""Looks in the public signatures of the published crates for types and traits of crates that do not belong there.

    .ci/foreign-types.py [CRATE...]

What users see of another crate ties both to one version of it. The signatures are read from rustdoc's JSON, which the
stable compiler writes too when it is told to: only rustdoc is told, so that nothing else is built anew.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

PUBLISHED = ["rtm-codec", "rtm-token", "rtm-connection", "rtm-core", "rtm-client", "rtm-server", "rtm-sim"]

# The standard library, and what is as stable as it is.
ALLOWED = {"std", "core", "alloc", "bytes", "futures_core", "serde", "serde_core"}
OURS = {name.replace("-", "_") for name in PUBLISHED}

# Of tokio, the traits of bytes that come and go.
ALLOWED_PATHS = {"tokio::io::async_read::AsyncRead", "tokio::io::async_write::AsyncWrite", "tokio::io::read_buf::ReadBuf"}

# Allowed in a crate that has a feature of that name, behind which they have to be.
BEHIND_FEATURES = {"rustls": "rustls", "rustls_pki_types": "rustls", "http": "http", "http_body": "http", "tower_service": "tower-service"}

# Exceptions, each with its reason.
EXCEPTIONS = {
    # What tokio's own `bind` takes: a user has such a value anyway.
    ("rtm-server", "tokio::net::addr::ToSocketAddrs"),
}


def document(crate, directory):
    """The JSON of a crate with all its features."""
    rustdoc = pathlib.Path(directory, "rustdoc")
    if not rustdoc.exists():
        real = os.environ.get("RUSTDOC", "rustdoc")
        rustdoc.write_text(f'#!/bin/sh\nRUSTC_BOOTSTRAP=1 exec {real} "$@"\n')
        rustdoc.chmod(0o755)
    command = ["cargo", "rustdoc", "--quiet", "--lib", "--all-features", "-p", crate, "--"]
    command += ["-Zunstable-options", "--output-format=json"]
    subprocess.run(command, check=True, env={**os.environ, "RUSTDOC": str(rustdoc)})
    documents = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "target"), "doc")
    return json.loads(pathlib.Path(documents, crate.replace("-", "_") + ".json").read_text())


def paths_in(value):
    """The ids of all types and traits that a part of the JSON names."""
    if isinstance(value, list):
        for part in value:
            yield from paths_in(part)
    elif isinstance(value, dict):
        if {"path", "id", "args"} <= value.keys():
            yield value["id"]
        for part in value.values():
            yield from paths_in(part)


def foreign(name, docs, features):
    """What the signatures name of crates that do not belong there, with an item that names it."""
    found = {}
    for item in docs["index"].values():
        inner = item["inner"]
        if item["crate_id"] != 0 or "use" in inner:
            continue
        implementation = inner.get("impl")
        # Nobody wrote these: they follow from what the types are.
        if implementation and (implementation["is_synthetic"] or implementation["blanket_impl"]):
            continue
        for id in paths_in(inner):
            named = docs["paths"].get(str(id))
            if named is None or named["crate_id"] == 0:
                continue
            crate = docs["external_crates"][str(named["crate_id"])]["name"]
            path = "::".join(named["path"])
            behind = BEHIND_FEATURES.get(crate)
            if crate in ALLOWED | OURS or path in ALLOWED_PATHS or behind in features:
                continue
            if (name, path) in EXCEPTIONS:
                continue
            span = item["span"] or {}
            line = (span.get("begin") or [0])[0]
            found.setdefault(path, f"{span.get('filename', '?')}:{line}: {item['name'] or 'impl'}")
    return found


def main():
    metadata = json.loads(subprocess.check_output(["cargo", "metadata", "--no-deps", "--format-version=1"]))
    features = {package["name"]: set(package["features"]) for package in metadata["packages"]}
    failed = False
    with tempfile.TemporaryDirectory() as directory:
        for crate in sys.argv[1:] or PUBLISHED:
            docs = document(crate, directory)
            # A list that is empty because the JSON changed its form would find nothing.
            if not any(True for item in docs["index"].values() for _ in paths_in(item["inner"])):
                sys.exit(f"{crate}: nothing could be read of format {docs['format_version']}")
            for path, place in sorted(foreign(crate, docs, features[crate]).items()):
                print(f"{crate}: {path} is in a public signature: {place}")
                failed = True
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
