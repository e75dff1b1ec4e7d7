"""An engineer at a terminal: types what is to be typed when the screen shows what it is typed at, as pyte draws it.

Usage: engineer.py FOLDER, with the steps in FOLDER/steps.json: a list of [what, text]. `shows` waits until the screen shows the text,
`types` types it, `mark` writes the screen into FOLDER/mark-TEXT.json whenever it is another, until there is FOLDER/go-TEXT, `flood` waits for the text at the end
of what is too much to be drawn. What has come is in FOLDER/seen. The configuration of ssh is $CONFIG; the terminal has 24 rows of 80.
"""

import fcntl
import json
import os
import pty
import re
import select
import struct
import sys
import termios

import pyte

ROWS, COLUMNS = 24, 80
# What is at the end of a piece and may go on in the next: the beginning of a sequence.
UNFINISHED = re.compile(rb"\x1b(\[[0-?]*[ -/]*)?$")
# xterm's settings for the keyboard, which end like colours: pyte dies of them.
KEYBOARD = re.compile(rb"\x1b\[[>?][0-9;]*m")
# pyte knows no other screen.
OTHER = re.compile(rb"(\x1b\[\?1049[hl])")


class Terminal:
    """pyte's screen, and the one beside it that full-screen programs use."""

    def __init__(self):
        self.main, self.other, self.rest = pyte.Screen(COLUMNS, ROWS), None, b""
        self.stream = pyte.ByteStream(self.main)

    def feed(self, data):
        data = self.rest + data
        unfinished = UNFINISHED.search(data)
        cut = unfinished.start() if unfinished else len(data)
        data, self.rest = data[:cut], data[cut:]
        for part in OTHER.split(KEYBOARD.sub(b"", data)):
            if part == b"\x1b[?1049h":
                self.other = pyte.Screen(COLUMNS, ROWS)
                self.stream = pyte.ByteStream(self.other)
            elif part == b"\x1b[?1049l":
                self.other, self.stream = None, pyte.ByteStream(self.main)
            else:
                self.stream.feed(part)

    def lines(self):
        return [line.rstrip() for line in self.text().split("\n")]

    def text(self):
        return "\n".join((self.other or self.main).display)


def main():
    folder = sys.argv[1]
    with open(os.path.join(folder, "steps.json"), encoding="utf-8") as file:
        steps = json.load(file)
    pid, fd = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        os.execvp("ssh", ["ssh", "-F", os.environ["CONFIG"], "-t", "sa"])
    terminal = Terminal()
    seen = open(os.path.join(folder, "seen"), "wb", buffering=0)

    def hear():
        try:
            data = os.read(fd, 65536)
        except OSError:
            data = b""
        seen.write(data)
        return data

    for what, text in steps:
        if what == "types":
            # As a terminal's paste: no more than its line takes at once.
            data = text.encode()
            while data:
                data = data[os.write(fd, data[:512]):]
        elif what == "mark":
            new, shown, told = os.path.join(folder, "new"), os.path.join(folder, f"mark-{text}.json"), None
            # What is drawn may not be all yet.
            while not os.path.exists(os.path.join(folder, f"go-{text}")):
                if select.select([fd], [], [], 0.05)[0]:
                    terminal.feed(hear())
                elif terminal.lines() != told:
                    told = terminal.lines()
                    with open(new, "w", encoding="utf-8") as file:
                        json.dump(told, file)
                    os.rename(new, shown)
        elif what == "flood":
            tail = b""
            while text.encode() not in tail:
                data = hear()
                if not data:
                    print("over in the flood", flush=True)
                    return
                tail = (tail + data)[-8192:]
            # From the beginning of a line on, all that is on the screen in the end.
            terminal.feed(b"\r\n" + tail[tail.index(b"\n") + 1:])
        else:
            while text not in terminal.text():
                data = hear()
                if not data:
                    print(f"over before {text!r}:", *terminal.lines(), sep="\n", flush=True)
                    return
                terminal.feed(data)
    while data := hear():
        terminal.feed(data)
    print("over:", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


main()
