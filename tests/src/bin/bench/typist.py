"""Types letters at the appliance's prompt, a line of random ones after the other, and says when each was typed and when it came back.

Usage: typist.py LETTERS GO, which begins once there is a file GO, with the configuration of ssh in $CONFIG. Lines: `typed MS LINE`, `echoed MS LINE`, `over`, with MS by the clock of the
day and LINE what stands behind the prompt then.
"""

import os
import pty
import random
import select
import sys
import time

LINE = 30


def now():
    return time.time() * 1000


def wait(fd, wanted, said):
    end = time.monotonic() + 60
    while wanted not in said:
        if time.monotonic() > end or not select.select([fd], [], [], 60)[0]:
            sys.exit(f"not said in a minute: {wanted!r} in {said[-200:]!r}")
        said += os.read(fd, 65536)
    return said


pid, fd = pty.fork()
if pid == 0:
    os.execvp("ssh", ["ssh", "-F", os.environ["CONFIG"], "-t", "sa"])
wait(fd, b"> ", b"")
print("inside", flush=True)
while not os.path.exists(sys.argv[2]):
    time.sleep(0.1)
# The word that somebody looks on stands in the line by now, or in a moment.
time.sleep(3)
os.write(fd, b"\r")
wait(fd, b"> ", b"")
line, left = "", int(sys.argv[1])
while left:
    if len(line) == LINE:
        # The line is taken away.
        os.write(fd, b"\x15")
        line = ""
        time.sleep(1)
        while select.select([fd], [], [], 0)[0]:
            os.read(fd, 65536)
    letter = random.choice("abcdefghijklmnopqrstuvwxyz")
    line += letter
    print("typed", now(), line, flush=True)
    os.write(fd, letter.encode())
    wait(fd, letter.encode(), b"")
    print("echoed", now(), line, flush=True)
    left -= 1
    # Not in step with anybody who looks now and then.
    time.sleep(random.uniform(0.3, 0.9))
print("over", flush=True)
os.close(fd)
os.waitpid(pid, 0)
