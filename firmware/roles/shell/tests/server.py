"""An SSH server that is not ours (AsyncSSH), with one user: prints its port, then serves until its input ends.

Arguments: the file of its host key; `password` or `questions`.
"""

import asyncio
import sys

import asyncssh


class Server(asyncssh.SSHServer):
    def begin_auth(self, username):
        return True

    def password_auth_supported(self):
        return sys.argv[2] == "password"

    def validate_password(self, username, password):
        return (username, password) == ("root", "open sesame")

    def kbdint_auth_supported(self):
        return sys.argv[2] == "questions"

    def get_kbdint_challenge(self, username, lang, submethods):
        return "", "Say the word.", "", [("Word: ", False)]

    def validate_kbdint_response(self, username, responses):
        return responses == ["friend"]


async def work(process):
    """What is asked for: `size` its terminal, `cat` its input, `exit N` a status, a shell a line that tells its window's size."""
    command = process.command
    if command is None:
        process.stdout.write("shell of %s on %s\n" % (process.get_extra_info("username"), process.term_type))
        while True:
            try:
                line = await process.stdin.readline()
            except asyncssh.TerminalSizeChanged as size:
                process.stdout.write("size %d x %d\n" % (size.width, size.height))
                continue
            if line.strip() == "leave" or not line:
                break
            process.stdout.write("heard %s\n" % line.strip())
        process.exit(4)
    elif command == "cat":
        process.stdout.write(await process.stdin.read())
        process.exit(0)
    elif command.startswith("exit "):
        process.stderr.write("an error\n")
        process.exit(int(command[5:]))
    else:
        process.exit(127)


async def main():
    server = await asyncssh.create_server(
        Server, "127.0.0.1", 0, server_host_keys=[sys.argv[1]], process_factory=work, line_editor=False
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
