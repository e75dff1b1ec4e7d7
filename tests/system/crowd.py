"""Slow clients of the console, from many addresses: crowd.py HOST PORT PLAIN_PORT COUNT NETWORK PREFIX AGAIN.

COUNT clients for each of the two ports; each comes again AGAIN seconds after it was cut off. It says "all have come" once as many
connections have been made, and at its end (by SIGTERM) nothing. NETWORK is the first of the addresses that the clients have, of
which there are 2 ** (32 - PREFIX).
"""
import asyncio
import ipaddress
import ssl
import sys

host, secure, plain, count, network, prefix, pause = sys.argv[1:]
sources = list(ipaddress.ip_network(f"{network}/{prefix}"))
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
came = 0


async def drip(writer, begin):
    """Begins, and goes on by a byte a second."""
    writer.write(begin)
    while True:
        await writer.drain()
        await asyncio.sleep(1)
        writer.write(b"x")


async def slow(number, port):
    global came
    kind = number % 4
    tls = context if port == int(secure) and kind >= 2 else None
    # The first of them are a network and no host.
    source = str(sources[1 + number % (len(sources) - 2)])
    reader, writer = await asyncio.open_connection(host, port, local_addr=(source, 0), ssl=tls)
    came += 1
    try:
        if kind == 0:  # says nothing
            await reader.read(1)
        elif kind == 1 and port == int(secure):
            await asyncio.gather(drip(writer, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), ended(reader))
        elif kind == 3 and tls:  # asks, does not read, and stays
            writer.write(b"GET / HTTP/1.1\r\nHost: drawbridge\r\n\r\n")
            await writer.drain()
            await asyncio.sleep(600)
        else:
            await asyncio.gather(drip(writer, b"GET / HTTP/1.1\r\nHost: "), ended(reader))
    finally:
        writer.transport.abort()


async def ended(reader):
    while await reader.read(4096):
        pass
    raise ConnectionError("cut off")


async def again(number, port):
    while True:
        try:
            await slow(number, port)
        except (OSError, ssl.SSLError, asyncio.IncompleteReadError):
            pass
        await asyncio.sleep(float(pause))


async def main():
    clients = [asyncio.create_task(again(number, int(port))) for number in range(int(count)) for port in (secure, plain)]
    while came < len(clients):
        await asyncio.sleep(0.1)
    print("all have come", flush=True)
    await asyncio.gather(*clients)


asyncio.run(main())
