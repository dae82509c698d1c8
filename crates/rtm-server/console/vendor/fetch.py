#!/usr/bin/env python3
"""The libraries of the console, from their npm packages, each held to the hash that it had when it was looked at.

    fetch.py            compares the files here with the packages
    fetch.py --write    writes them anew

It needs npm, and the network.
"""
import base64
import hashlib
import io
import pathlib
import subprocess
import sys
import tarfile
import tempfile

# Package, hash, and which file of it is which one here.
PACKAGES = [
    ("preact@11.2.0", "sha512-/HfHI/7N84e6GrWBJ3J280z3mLaRJiDcSvj/A+y/4AbLnND/1UlGHe1sR6oYuTGwId0nP7dqDU9OnLxMPZ7xBg==",
     {"dist/preact.mjs": "preact.js", "hooks/dist/hooks.mjs": "hooks.js", "LICENSE": "LICENSE.preact"}),
    ("htm@3.1.1", "sha512-983Vyg8NwUE7JkZ6NmOqpCZ+sh1bKv2iYTlUkzlWmA5JD2acKoxd4KVxbMmxX/85mtfdnDmTFoNKcg5DGAvxNQ==",
     {"dist/htm.mjs": "htm.js", "LICENSE": "LICENSE.htm"}),
    ("@preact/signals@2.11.4", "sha512-Rb+5RPo9gWSaHtzJeauhHxiC8KP/IF2DEPkHPEOGOnuy2wnJzRqyeLRankUCYd6ADqtxS6GnWGv6Ie343d8aYw==",
     {"dist/signals.mjs": "signals.js", "LICENSE": "LICENSE.signals"}),
    ("@preact/signals-core@1.14.5", "sha512-vcRv7Ityz5JVmeiVqIluLFzT/PDS/AlhHUpw3/aUWqcVUs6bDGIPXE/6RSC4evBNWYvnniozg5Syfj33al3gkg==",
     {"dist/signals-core.mjs": "signals-core.js", "LICENSE": "LICENSE.signals-core"}),
    ("uplot@1.6.32", "sha512-KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw==",
     {"dist/uPlot.esm.js": "uplot.js", "dist/uPlot.min.css": "uplot.css", "LICENSE": "LICENSE.uplot"}),
]


def package(name, expected):
    with tempfile.TemporaryDirectory() as scratch:
        packed = subprocess.run(["npm", "pack", "--silent", name], cwd=scratch, check=True, stdout=subprocess.PIPE, text=True)
        data = (pathlib.Path(scratch) / packed.stdout.split()[-1]).read_bytes()
    found = "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()
    if found != expected:
        sys.exit(f"{name} is not what it was: {found}")
    return tarfile.open(fileobj=io.BytesIO(data))


def main():
    here = pathlib.Path(__file__).parent
    differ = []
    for name, expected, files in PACKAGES:
        with package(name, expected) as archive:
            for inside, here_called in files.items():
                data = archive.extractfile(f"package/{inside}").read()
                file = here / here_called
                if "--write" in sys.argv[1:]:
                    file.write_bytes(data)
                elif not file.exists() or file.read_bytes() != data:
                    differ.append(here_called)
    if differ:
        sys.exit(f"these are not as in their packages: {', '.join(differ)}")


main()
