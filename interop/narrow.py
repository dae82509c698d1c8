#!/usr/bin/env python3
"""A relay to a port of this machine, over which about a megabyte at most is on its way.

The kernel keeps four for a connection within one machine, so that a sender there hardly ever notices a slow receiver. Here the
packets towards the relay are as small as on a real network, and so is what it takes before it is read from. Prints its own port;
ends with its standard input.
"""

import socket
import sys
import threading


def narrow():
    one = socket.socket()
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1400)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    return one


def carry(source, target):
    try:
        while data := source.recv(2048):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        for one in (source, target):
            # What is not said goodbye to is reset.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            one.close()


def connect(near):
    far = narrow()
    try:
        far.connect(("127.0.0.1", int(sys.argv[1])))
    except OSError:
        near.close()
        return
    for one in (near, far):
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    threading.Thread(target=carry, args=(near, far), daemon=True).start()
    carry(far, near)


def accept(listener):
    while True:
        threading.Thread(target=connect, args=(listener.accept()[0],), daemon=True).start()


listener = narrow()
listener.bind(("127.0.0.1", 0))
listener.listen()
print(listener.getsockname()[1], flush=True)
threading.Thread(target=accept, args=(listener,), daemon=True).start()
sys.stdin.read()
