#!/usr/bin/env python3
"""Looks in the public signatures of the published crates for types and traits of crates that do not belong there, with all
features and with none, and in their documentation for links to what users of the crate do not have.

    .ci/foreign-types.py [CRATE...]

What users see of another crate ties both to one version of it. Signatures and links are read from rustdoc's JSON, which
the stable compiler writes too when it is told to: only rustdoc is told, so that nothing else is built anew.
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

# Crates whose users depend on another one of ours too, since its types are what they are used with.
USED_WITH = {
    "rtm-connection": {"rtm_codec"},
    "rtm-core": {"rtm_codec"},
    "rtm-sim": {"rtm_codec", "rtm_connection", "rtm_core"},
}

# Exceptions, each with its reason.
EXCEPTIONS = {
    # What tokio's own `bind` takes: a user has such a value anyway.
    ("rtm-server", "tokio::net::addr::ToSocketAddrs"),
}


def document(crate, directory, features):
    """The JSON of a crate with these features."""
    rustdoc = pathlib.Path(directory, "rustdoc")
    if not rustdoc.exists():
        real = os.environ.get("RUSTDOC", "rustdoc")
        rustdoc.write_text(f'#!/bin/sh\nRUSTC_BOOTSTRAP=1 exec {real} "$@"\n')
        rustdoc.chmod(0o755)
    command = ["cargo", "rustdoc", "--quiet", "--lib", features, "-p", crate, "--"]
    # A link may lead to what a feature has that is off.
    command += ["-Zunstable-options", "--output-format=json", "--cap-lints=allow"]
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


def key(docs, id):
    """An item by what it is called, however its crate is looked at: of which crate, which kind, and its name."""
    named = docs["paths"].get(str(id))
    if named is None:
        return None
    crate = docs["external_crates"].get(str(named["crate_id"]), {}).get("name") if named["crate_id"] else own_name(docs)
    return crate, named["kind"], named["path"][-1]


def own_name(docs):
    return docs["index"][str(docs["root"])]["name"]


def parts(item):
    """The ids of what belongs to an item: its fields, variants, methods, or what is in the module."""
    for kind, inner in item["inner"].items():
        if not isinstance(inner, dict):
            continue
        for name in ("items", "variants", "impls", "fields"):
            yield from (id for id in inner.get(name) or [] if id is not None)
        struct = inner.get("kind")
        if isinstance(struct, dict):
            for shape in struct.values():
                ids = shape.get("fields", []) if isinstance(shape, dict) else shape
                yield from (id for id in ids if id is not None)


def with_parts(docs, id):
    """An item and everything in it, once each."""
    left, seen = [id], set()
    while left:
        id = left.pop()
        item = docs["index"].get(str(id))
        if item is not None and id not in seen:
            seen.add(id)
            yield item
            left.extend(parts(item))
            use = item["inner"].get("use")
            if use and use["id"] is not None:
                left.append(use["id"])


def owners(docs):
    """Whose part each item is."""
    return {part: item["id"] for item in docs["index"].values() for part in parts(item)}


def strange_links(crate, documents):
    """The links in what users of a crate read, its re-exports too, that lead to what they do not have."""
    docs, allowed = documents[crate], ALLOWED | {own_name(documents[crate])} | USED_WITH.get(crate, set())
    # What other crates of ours give the users of this one, by this one.
    given, read = set(), [(docs, docs["root"])]
    for item in docs["index"].values():
        use = item["inner"].get("use")
        if use and use["id"] is not None and (found := key(docs, use["id"])) and found[0] in OURS - {own_name(docs)}:
            origin = documents[found[0].replace("_", "-")]
            for id in (int(id) for id in origin["paths"] if key(origin, id) == found):
                read.append((origin, id))
                given |= {key(origin, part["id"]) for part in with_parts(origin, id)}
    for docs, root in read:
        owned = owners(docs)
        for item in with_parts(docs, root) if docs is not documents[crate] else docs["index"].values():
            for text, id in item.get("links", {}).items():
                while key(docs, id) is None and id in owned:
                    id = owned[id]
                found = key(docs, id)
                if found and found not in given and found[0] not in allowed and docs["paths"][str(id)]["path"][0] != "tokio":
                    yield f"{own_name(docs)}: {item['name'] or 'impl'} links to {text}, which is of {found[0]}"


def main():
    metadata = json.loads(subprocess.check_output(["cargo", "metadata", "--no-deps", "--format-version=1"]))
    features = {package["name"]: set(package["features"]) for package in metadata["packages"]}
    failed = False
    crates = sys.argv[1:] or PUBLISHED
    with tempfile.TemporaryDirectory() as directory:
        documents = {crate: document(crate, directory, "--all-features") for crate in PUBLISHED}
        for crate in crates:
            docs = documents[crate]
            # A list that is empty because the JSON changed its form would find nothing.
            if not any(True for item in docs["index"].values() for _ in paths_in(item["inner"])):
                sys.exit(f"{crate}: nothing could be read of format {docs['format_version']}")
            found = foreign(crate, docs, features[crate])
            bare = {}
            if features[crate] & set(BEHIND_FEATURES.values()):
                bare = foreign(crate, document(crate, directory, "--no-default-features"), set())
            for path, place in sorted((bare | found).items()):
                without = "" if path in found else ", also without its feature"
                print(f"{crate}: {path} is in a public signature{without}: {place}")
                failed = True
            for link in sorted(set(strange_links(crate, documents))):
                print(f"{crate}: {link}")
                failed = True
        if not any(item.get("links") for docs in documents.values() for item in docs["index"].values()):
            sys.exit("no link could be read")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
