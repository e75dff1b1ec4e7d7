"""A node of an array (AsyncSSH): a login with a password, and a real shell on a real terminal. It says `serves`, then serves.

Usage: node.py ADDRESS KEY FOLDER, where the shell begins in FOLDER.
"""

import asyncio
import fcntl
import os
import pty
import struct
import sys
import termios

import asyncssh

address, key, folder = sys.argv[1:]

ENVIRONMENT = {
    "HOME": folder,
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "PATH": "/usr/bin:/bin",
    "PS1": "node$ ",
    "TERM": "xterm",
}


class Node(asyncssh.SSHServer):
    def begin_auth(self, username):
        return True

    def password_auth_supported(self):
        return True

    def validate_password(self, username, password):
        return (username, password) == ("root", "open sesame")


def shell(columns, rows):
    """A shell on a terminal of this size: its process and the terminal's other end."""
    pid, fd = pty.fork()
    if pid == 0:
        try:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            os.chdir(folder)
            os.execve("/bin/sh", ["sh"], ENVIRONMENT)
        finally:
            os._exit(127)
    return pid, fd


async def work(process):
    pid, fd = shell(*process.term_size[:2])
    loop = asyncio.get_running_loop()

    async def typed():
        while True:
            try:
                data = await process.stdin.read(4096)
            except asyncssh.TerminalSizeChanged:
                continue
            if not data:
                return
            os.write(fd, data)

    typing = asyncio.create_task(typed())
    while True:
        try:
            data = await loop.run_in_executor(None, os.read, fd, 65536)
        except OSError:
            break
        if not data:
            break
        process.stdout.write(data)
        await process.stdout.drain()
    typing.cancel()
    _, status = await loop.run_in_executor(None, os.waitpid, pid, 0)
    process.exit(os.waitstatus_to_exitcode(status))


async def main():
    await asyncssh.create_server(
        Node, address, 22, server_host_keys=[key], process_factory=work, line_editor=False, encoding=None
    )
    print("serves", flush=True)
    await asyncio.get_running_loop().create_future()


asyncio.run(main())
