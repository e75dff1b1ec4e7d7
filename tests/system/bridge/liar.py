"""A Remote Support Server that has the right keys and lies: it asks for more than there is, twice, with tickets that it does
not know, and answers those that come with nothing, with garbage, or with too much. It says what it has seen, a line each.

Arguments: the certificate, its key, the SSH host key, how many orders to dial."""
import asyncio, collections, os, ssl, sys
import asyncssh

chain, key, host_key, orders = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
secret = os.environ["DRAWBRIDGE_LAB_SECRET"].encode()
seen = collections.Counter()
heard = bytearray()


def number(value):
    text = bytearray()
    while value > 127:
        text.append(value & 127 | 128)
        value >>= 7
    return bytes(text + bytes([value]))


def line(text):
    return number(len(text)) + text


def frame(body):
    return len(body).to_bytes(4, "big") + body


def dial(request, token):
    return frame(number(3) + number(request) + token + line(b"mallory") + b"\0" + bytes([192, 0, 2, 66]))


def listen_for(data):
    heard.extend(data)
    if secret in heard or any(len(word) > 4 and word in heard for word in secret.split(b"-")):
        print("the secret was sent", flush=True)
    del heard[:-4096]


async def control(process):
    read, write = process.stdin, process.stdout
    hello = await read.read(4096)
    listen_for(hello)
    # It can do nothing beside.
    write.write(frame(number(0) + line(b"liar") + line(b"sa-liar") + number(0)))
    print("welcomed", flush=True)
    token = os.urandom(32)
    # The same order twice, the same ticket under another number, then more than anybody can follow.
    for request in [1, 1, 2]:
        write.write(dial(request, token))
    for request in range(3, orders):
        write.write(dial(request, os.urandom(32)))
        if request % 100 == 0:
            await write.drain()
    print("ordered", flush=True)
    rest = b""
    while data := await read.read(65536):
        listen_for(data)
        rest += data
        while len(rest) >= 4 and len(rest) >= 4 + (size := int.from_bytes(rest[:4], "big")):
            seen["declined" if rest[4] == 2 else "other"] += 1
            rest = rest[4 + size:]
    seen["lost"] += 1
    print("control lost", dict(seen), flush=True)


class Server(asyncssh.SSHServer):
    def begin_auth(self, user):
        return True

    def public_key_auth_supported(self):
        return True

    def validate_public_key(self, user, key):
        return True


async def relay(read, write):
    try:
        while data := await read.read(65536):
            write.write(data)
            await write.drain()
    except (OSError, asyncio.CancelledError):
        pass
    finally:
        write.close()


async def client(read, write):
    try:
        alpn = write.get_extra_info("ssl_object").selected_alpn_protocol()
        if alpn == "drawbridge-control/1":
            inner_read, inner_write = await asyncio.open_connection("127.0.0.1", 2223)
            await asyncio.gather(relay(read, inner_write), relay(inner_read, write))
            return
        seen["tickets"] += 1
        seen["at once"] = max(seen["at once"], seen["open"] + 1)
        seen["open"] += 1
        try:
            ticket = await read.readexactly(36)
            listen_for(ticket)
            turn = seen["tickets"] % 4
            if turn == 0:
                write.write(b"-")
            elif turn == 1:
                write.write(b"+" + os.urandom(100000))
            elif turn == 2:
                write.write(b"+SSH-2.0-mallory\r\n" + os.urandom(100000))
            if turn:
                listen_for(await asyncio.wait_for(read.read(100000), 5))
        finally:
            seen["open"] -= 1
            if seen["tickets"] % 20 == 0:
                print("tickets", seen["tickets"], "at once", seen["at once"], flush=True)
    except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError):
        pass
    finally:
        write.close()


async def main():
    await asyncssh.listen("127.0.0.1", 2223, server_factory=Server, server_host_keys=[host_key],
                          process_factory=control, encoding=None, allow_pty=False)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    context.set_alpn_protocols(["drawbridge-control/1", "drawbridge-session/1"])
    server = await asyncio.start_server(client, "0.0.0.0", 443, ssl=context)
    print("listens", flush=True)
    async with server:
        await server.serve_forever()


asyncio.run(main())
