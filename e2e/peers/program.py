"""A program for StatusPush: program.py FILE. It writes each packet into the file, and then says that it has it."""
import sys

# Not buffered: a line is there whole or not at all, whenever this is killed.
with open(sys.argv[1], 'ab', buffering=0) as file:
    for line in sys.stdin.buffer:
        file.write(line)
        print(1, flush=True)
