"""A program that a StatusPush runs: it asks at the address in its first argument what to do with each packet."""

import socket
import sys

host, port = sys.argv[1].rsplit(":", 1)
words = socket.create_connection((host, int(port))).makefile("rw")
for packet in sys.stdin:
    words.write(packet)
    words.flush()
    word = words.readline().strip()
    if word == "take":
        print(1, flush=True)
    elif word == "never":
        print("refused: never", flush=True)
    else:
        print("asked to come again", file=sys.stderr, flush=True)
        sys.exit(3)
