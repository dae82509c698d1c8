#!/usr/bin/env python3
"""What `rtm` is made of, as a CycloneDX document on standard output: each crate of its build, as Cargo.lock has it, and the modules
of the console.

    packages/sbom.py [--target TRIPLE] >rtm.cdx.json

It needs Cargo and the crates. A crate that only the build runs has the scope "excluded": nothing of it is in the program. The same
Cargo.lock gives the same document, but for the time of the build, which SOURCE_DATE_EPOCH may set.
"""

import argparse
import ast
import base64
import datetime
import json
import os
import pathlib
import re
import subprocess
import time
import tomllib
import urllib.parse
import uuid

ROOT = pathlib.Path(__file__).resolve().parent.parent
CONSOLE = ROOT / "crates/rtm-server/console/vendor"
PROGRAM = "rtm-cli"


def cargo(*arguments):
    run = subprocess.run(["cargo", *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return run.stdout


def tree(edges, target):
    """The crates below the program, each (depth, (name, version), licence), in the order of `cargo tree`."""
    text = cargo("tree", "--quiet", "--locked", "--package", PROGRAM, "--edges", edges, "--target", target,
                 "--prefix", "depth", "--format", "|{p}|{l}|")
    for line in text.splitlines():
        depth, package, licence, _ = line.split("|")
        name, version = package.split()[:2]
        yield int(depth), (name, version.removeprefix("v")), licence


def crate_url(name, version):
    return f"pkg:cargo/{name}@{version}"


def crates(target):
    """The components of Rust, and what each depends on."""
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    hashes = {(one["name"], one["version"]): one.get("checksum") for one in lock["package"]}
    linked = {crate for _, crate, _ in tree("normal,no-proc-macro", target)}
    licences, needs, above = {}, {}, []
    for depth, crate, licence in tree("normal,build", target):
        del above[depth:]
        if above:
            needs.setdefault(above[-1], set()).add(crate)
        above.append(crate)
        needs.setdefault(crate, set())
        licences[crate] = licence
    components = []
    for crate in sorted(licences):
        name, version = crate
        if name == PROGRAM:
            continue
        component = {
            "type": "library", "bom-ref": crate_url(*crate), "name": name, "version": version,
            "scope": "required" if crate in linked else "excluded",
            "licenses": [{"expression": re.sub(r"\s*/\s*", " OR ", licences[crate])}],
        }
        # Only the crates of this workspace have none.
        if hashes[crate]:
            component["hashes"] = [{"alg": "SHA-256", "content": hashes[crate]}]
            component["purl"] = crate_url(*crate)
        components.append(component)
    return components, {crate_url(*crate): sorted(crate_url(*one) for one in below) for crate, below in needs.items()}


def modules():
    """The libraries of the console, as the program that looks after them lists them."""
    source = ast.parse((CONSOLE / "fetch.py").read_text())
    assigned = next(one for one in source.body if isinstance(one, ast.Assign) and one.targets[0].id == "PACKAGES")
    for package, integrity, files in ast.literal_eval(assigned.value):
        name, version = package.rsplit("@", 1)
        licence = next(file for file in files.values() if file.startswith("LICENSE"))
        is_apache = "Apache License" in (CONSOLE / licence).read_text()
        url = f"pkg:npm/{urllib.parse.quote(name)}@{version}"
        yield {
            "type": "library", "bom-ref": url, "name": name, "version": version, "scope": "required",
            "hashes": [{"alg": "SHA-512", "content": base64.b64decode(integrity.removeprefix("sha512-")).hex()}],
            "licenses": [{"expression": "Apache-2.0" if is_apache else "MIT"}], "purl": url,
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--target", help="the target that the program is built for; otherwise that of this machine")
    target = parser.parse_args().target or re.search(r"^host: (.+)$", subprocess.run(
        ["rustc", "-vV"], check=True, stdout=subprocess.PIPE, text=True).stdout, re.MULTILINE)[1]
    components, needs = crates(target)
    console = list(modules())
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    program, server = crate_url(PROGRAM, version), crate_url("rtm-server", version)
    needs[server] = sorted([*needs[server], *(one["bom-ref"] for one in console)])
    needs |= {one["bom-ref"]: [] for one in console}
    built = int(os.environ.get("SOURCE_DATE_EPOCH") or time.time())
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json", "bomFormat": "CycloneDX", "specVersion": "1.6",
        "serialNumber": "", "version": 1,
        "metadata": {
            "timestamp": datetime.datetime.fromtimestamp(built, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "lifecycles": [{"phase": "build"}],
            "component": {
                "type": "application", "bom-ref": program, "name": "rtm", "version": version,
                "licenses": [{"expression": "MIT"}],
                "properties": [{"name": "cargo:target", "value": target}],
            },
        },
        "components": components + console,
        "dependencies": [{"ref": ref, "dependsOn": needs[ref]} for ref in sorted(needs)],
    }
    # Two documents have the same number if and only if they say the same.
    document["serialNumber"] = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(document)).urn
    print(json.dumps(document, indent=1, ensure_ascii=False))


main()
