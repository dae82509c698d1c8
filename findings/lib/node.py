"""Runs a program in Node beside one in Python."""

import json
import os
import subprocess


def node(program, *arguments):
    """Runs the CommonJS text `program` with the installed packages; returns the JSON that it prints."""
    folder = os.environ["FIND_FOLDER"]
    path = os.path.join(folder, "beside.cjs")
    with open(path, "w") as file:
        file.write(program)
    environment = {**os.environ, "NODE_PATH": os.path.join(folder, "node_modules"), "NODE_NO_WARNINGS": "1"}
    return json.loads(subprocess.check_output(["node", path, *arguments], env=environment, timeout=40))
