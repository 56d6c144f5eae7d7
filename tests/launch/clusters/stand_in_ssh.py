"""What stands for ssh where there are no other hosts: enters a network namespace of this machine, or none.

python stand_in_ssh.py [options] HOST COMMAND

``STAND_IN_HOSTS`` says, as JSON, what each host is: ``network`` (a file of a namespace) and ``python_path``.
"""

import contextlib
import ctypes
import json
import os
import socket
import sys
import threading
from typing import Any

NETWORK = 0x40000000  # CLONE_NEWNET in sched.h


def enter(host: dict[str, Any]) -> None:
    """Move this thread, and what it starts, to the network of a host."""
    if "network" in host:
        with open(host["network"]) as namespace:
            assert ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), NETWORK) == 0, ctypes.get_errno()


def copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):  # one end has closed
        while content := source.recv(65536):
            target.sendall(content)
        target.shutdown(socket.SHUT_WR)


def forward(host: dict[str, Any], spec: str) -> None:
    """Pass on connections from a port of ours to one of the host, until we are ended."""
    address, port, other, other_port = spec.split(":")
    # A socket stays in the network in which it was made.
    server = socket.create_server((address, int(port)))
    enter(host)
    while True:
        near, _ = server.accept()
        try:
            far = socket.create_connection((other, int(other_port)))
        except OSError:  # nothing listens there yet
            near.close()
            continue
        for ends in ((near, far), (far, near)):
            threading.Thread(target=copy, args=ends, daemon=True).start()


def main(words: list[str]) -> None:
    spec = None
    while words[0].startswith("-"):
        option = words.pop(0)
        if option in ("-o", "-L"):
            value = words.pop(0)
            spec = value if option == "-L" else spec
    hosts: dict[str, Any] = json.loads(os.environ["STAND_IN_HOSTS"])
    host = hosts[words[0]]
    if spec:
        forward(host, spec)
    enter(host)
    if "python_path" in host:
        os.environ["PYTHONPATH"] = os.pathsep.join([host["python_path"], os.environ.get("PYTHONPATH", "")])
    os.execvp("sh", ["sh", "-c", words[1]])


if __name__ == "__main__":
    main(sys.argv[1:])
