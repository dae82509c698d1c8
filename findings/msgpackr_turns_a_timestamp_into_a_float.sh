#!/usr/bin/env bash
# msgpackr 2.1.4 and @msgpack/msgpack 3.1.3 (npm), msgpack 1.2.4 (PyPI): a time in milliseconds in MessagePack.
#
# guess: a whole number such as 1700000000000 travels as a 64-bit integer (the README has only other numbers travel as floats)
#        and comes back as a number.
# seen:  msgpackr writes every whole number beyond 32 bits as a float 64 (Python reads 1700000000000.0; a decoder with a typed
#        u64 field refuses it), and what others write as an integer it reads as a BigInt, which JSON.stringify cannot write.
#        @msgpack/msgpack writes and reads integers.
# so:    a Rust or Python peer must accept floats for ids and times; in Node read with int64AsType "auto", write a BigInt.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
python_packages msgpack==1.2.4
node_packages msgpackr@2.1.4 @msgpack/msgpack@3.1.3
run_python <<'PYTHON'
import json
import os
import subprocess

import msgpack

from find import seen

NODE = """
const msgpackr = require("msgpackr");
const other = require("@msgpack/msgpack");
const hex = (bytes) => Buffer.from(bytes).toString("hex");
const fromPython = Buffer.from(process.argv[2], "hex");
const time = 1700000000000;
console.log(JSON.stringify({
    time: [hex(msgpackr.pack(time)), hex(other.encode(time))],
    bigint: hex(msgpackr.pack(BigInt(time))),
    read: [typeof msgpackr.unpack(fromPython), typeof other.decode(fromPython)],
    auto: typeof new msgpackr.Unpackr({ int64AsType: "auto" }).unpack(fromPython),
}));
"""

folder = os.environ["FIND_FOLDER"]
program = os.path.join(folder, "codec.cjs")
with open(program, "w") as file:
    file.write(NODE)
environment = {**os.environ, "NODE_PATH": os.path.join(folder, "node_modules")}
packed = msgpack.packb(1700000000000).hex()
result = json.loads(subprocess.check_output(["node", program, packed], env=environment, timeout=20))

seen("Python's own bytes", packed, "cf0000018bcfe56800")
read = [repr(msgpack.unpackb(bytes.fromhex(data))) for data in result["time"]]
seen("time of msgpackr, @msgpack: read by Python", read, ["1700000000000.0", "1700000000000"])
seen("time of Python: type in msgpackr, @msgpack", result["read"], ["bigint", "number"])
seen('the same in msgpackr with int64AsType "auto"', result["auto"], "number")
seen("time of msgpackr as a BigInt: read by Python", msgpack.unpackb(bytes.fromhex(result["bigint"])), 1700000000000)
PYTHON
