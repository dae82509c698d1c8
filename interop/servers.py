#!/usr/bin/env python3
"""Runs commands against servers of its own, on this machine: one `rtm serve`, or with --nats three of them as a cluster,
with three servers of NATS.

    python3 interop/servers.py --rtm PATH [--nats PATH] [--project APPID[:CERTIFICATE]]... COMMAND...

COMMAND is a shell command, and several run at once. {gateways} in it stands for the addresses of the servers, and {nats}
for the URLs of NATS. When all have ended, the servers are asked to end as well. The exit status is 0 if all commands and
all servers ended with 0.
"""

import argparse
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

SERVERS = 3
STARTS_WITHIN = 60
ENDS_WITHIN = 60


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def start_nats(binary, scratch):
    """Three servers of NATS as one. Gives the processes and their URLs."""
    ports = free_ports(2 * SERVERS)
    ports, routes = ports[:SERVERS], ports[SERVERS:]
    processes = []
    for number, (port, route) in enumerate(zip(ports, routes)):
        config = scratch / f"nats-{number}.conf"
        others = ", ".join(f"nats://127.0.0.1:{one}" for one in routes)
        config.write_text(
            f"""server_name: nats-{number}
listen: 127.0.0.1:{port}
ping_interval: "2s"
ping_max: 2
jetstream {{ store_dir: "{scratch}/jetstream-{number}" }}
cluster {{ name: nats, listen: 127.0.0.1:{route}, routes: [{others}] }}
"""
        )
        log = open(scratch / f"nats-{number}.log", "w")
        processes.append(subprocess.Popen([binary, "-c", config], stdout=log, stderr=log))
    return processes, ",".join(f"nats://127.0.0.1:{port}" for port in ports)


def start_rtm(binary, scratch, nats, projects):
    """One server, or the nodes of a cluster on NATS. Gives the processes and their addresses, once all of them listen."""
    processes, addresses = [], []
    for number in range(SERVERS if nats else 1):
        arguments = [binary, "serve", "--listen", "127.0.0.1:0"]
        if nats:
            arguments += ["--cluster", nats, "--node", f"rtm-{number}"]
        for project in projects:
            arguments += ["--project", project]
        log = open(scratch / f"rtm-{number}.log", "w")
        processes.append(subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=log, text=True))
    for process in processes:
        line = process.stdout.readline().strip()
        if not line.startswith("listening on "):
            raise SystemExit(f"a server does not listen; it said {line!r}")
        addresses.append(line.removeprefix("listening on "))
    return processes, addresses


def run(commands, values):
    """Runs the commands at once, shows one after the other what they said, and gives how many failed."""
    outputs = [tempfile.TemporaryFile() for _ in commands]
    running = []
    for command, output in zip(commands, outputs):
        for name, value in values.items():
            command = command.replace("{" + name + "}", value)
        running.append(subprocess.Popen(command, shell=True, stdout=output, stderr=subprocess.STDOUT))
    failed = 0
    for process, output in zip(running, outputs):
        failed += process.wait() != 0
        output.seek(0)
        sys.stdout.buffer.write(output.read())
        sys.stdout.flush()
    return failed


def end(processes, what):
    """Asks processes to end. Gives how many did not end with 0."""
    failed = 0
    for process in processes:
        process.send_signal(signal.SIGTERM)
    until = time.monotonic() + ENDS_WITHIN
    for process in processes:
        try:
            status = process.wait(max(0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            status = "SIGKILL: it did not end"
        if status != 0:
            print(f"a server of {what} ended with {status}")
            failed += 1
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rtm", required=True, metavar="PATH")
    parser.add_argument("--nats", metavar="PATH")
    parser.add_argument("--project", action="append", default=[], metavar="APPID[:CERTIFICATE]")
    parser.add_argument("commands", nargs="+", metavar="COMMAND")
    arguments = parser.parse_args()

    nats, nodes, failed = [], [], 1
    with tempfile.TemporaryDirectory() as folder:
        scratch = pathlib.Path(folder)
        # The servers wait for each other: one that cannot start would hold up all.
        signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(SystemExit("the servers do not start in time")))
        try:
            signal.alarm(STARTS_WITHIN)
            urls = ""
            if arguments.nats:
                nats, urls = start_nats(arguments.nats, scratch)
            nodes, addresses = start_rtm(arguments.rtm, scratch, urls, arguments.project)
            signal.alarm(0)
            values = {"gateways": ",".join(addresses), "nats": urls}
            failed = run(arguments.commands, values)
        finally:
            signal.alarm(0)
            failed += end(nodes, "RTM")
            # NATS says with its status by which signal it ended.
            for process in nats:
                process.kill()
                process.wait()
            if failed:
                for log in sorted(scratch.glob("rtm-*.log")):
                    print(f"--- {log.name}", *log.read_text().splitlines()[-40:], sep="\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
