#!/usr/bin/env python3
"""What `rtm` is made of, as a CycloneDX document on standard output: each crate of its build, as Cargo.lock has it, and the modules
of the console. Or the copyright notices and licences of all that is linked into it, each text once.

    packages/sbom.py [--target TRIPLE] >rtm.cdx.json
    packages/sbom.py [--target TRIPLE] --licences >third-party-licences.txt

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
import sys
import time
import tomllib
import urllib.parse
import uuid

ROOT = pathlib.Path(__file__).resolve().parent.parent
CONSOLE = ROOT / "crates/rtm-server/console/vendor"
PROGRAM = "rtm-cli"
LINKED = "normal,no-proc-macro"
NOTICE = re.compile(r"(un)?licen[cs]e|copying|notice|copyright", re.IGNORECASE)


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
    linked = {crate for _, crate, _ in tree(LINKED, target)}
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
    parser.add_argument("--licences", action="store_true", help="print notices and licences instead")
    arguments = parser.parse_args()
    target = arguments.target or re.search(r"^host: (.+)$", subprocess.run(
        ["rustc", "-vV"], check=True, stdout=subprocess.PIPE, text=True).stdout, re.MULTILINE)[1]
    if arguments.licences:
        licences(target)
    else:
        document(target)


def document(target):
    components, needs = crates(target)
    console = list(modules())
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    program, server = crate_url(PROGRAM, version), crate_url("rtm-server", version)
    needs[server] = sorted([*needs[server], *(one["bom-ref"] for one in console)])
    needs |= {one["bom-ref"]: [] for one in console}
    built = int(os.environ.get("SOURCE_DATE_EPOCH") or time.time())
    made_of = {
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
    made_of["serialNumber"] = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(made_of)).urn
    print(json.dumps(made_of, indent=1, ensure_ascii=False))



def licences(target):
    linked = {crate for _, crate, _ in tree(LINKED, target)}
    texts, without = {}, []
    for package in json.loads(cargo("metadata", "--quiet", "--locked", "--format-version", "1"))["packages"]:
        name = f"{package['name']} {package['version']}"
        if (package["name"], package["version"]) not in linked or package["source"] is None:
            continue
        folder = pathlib.Path(package["manifest_path"]).parent
        found = [file for file in sorted(folder.rglob("*")) if NOTICE.match(file.name) and file.suffix in ("", ".md", ".txt")]
        for file in filter(pathlib.Path.is_file, found):
            texts.setdefault(file.read_text(errors="replace").strip(), set()).add(name)
        if not found:
            without.append(f"{name}: {package['license']}, {package['repository'] or 'no address'}")
    for file in CONSOLE.glob("LICENSE.*"):
        texts.setdefault(file.read_text().strip(), set()).add(file.suffix.removeprefix("."))
    line = "=" * 78
    for text, names in sorted((text, sorted(names)) for text, names in texts.items()):
        print(f"{line}\n{', '.join(names)}\n{line}\n\n{text}\n")
    if without:
        print(f"{line}\nWithout such a file: what the crate says of itself\n{line}\n\n" + "\n".join(sorted(without)))


sys.stdout.reconfigure(encoding="utf-8")
main()
