"""A mail server by aiosmtpd, which notes each mail as a line of JSON, read by Python's own parser.

Usage: server.py ADDRESS PORT MODE CERTIFICATE KEY OUT, where MODE is plain, starttls, implicit or shout.
"""

import asyncio
import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

address, port, mode, certificate, key, out = sys.argv[1:]


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody@"):
            return "550 5.1.1 no such user here"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 good"

    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.original_content, policy=email.policy.default)
        note = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "user": session.auth_data.login.decode() if session.auth_data else None,
            "headers": [name for name, _ in message.items()],
            "type": message.get_content_type(),
            "subject": message["Subject"],
            "id": message["Message-ID"],
            "body": message.get_content(),
        }
        with open(out, "a", encoding="utf-8") as notes:
            notes.write(json.dumps(note) + "\n")
        return "250 2.0.0 taken"


def authenticate(server, session, envelope, mechanism, data):
    right = isinstance(data, LoginPassword) and (data.login, data.password) == (b"sa", b"correct horse \"\\")
    return AuthResult(success=right, auth_data=data)


class Shouting(asyncio.Protocol):
    """Says more than any mail server has to."""

    def connection_made(self, transport):
        transport.write(b"220 " + b"x" * 10_000_000)


def main():
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    def factory():
        if mode == "shout":
            return Shouting()
        return SMTP(
            Handler(),
            hostname="mail.test",
            tls_context=context if mode == "starttls" else None,
            require_starttls=mode == "starttls",
            auth_require_tls=mode == "starttls",
            auth_required=mode != "plain",
            authenticator=authenticate,
            enable_SMTPUTF8=True,
        )

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    server = loop.create_server(factory, address, int(port), ssl=context if mode == "implicit" else None)
    loop.run_until_complete(server)
    loop.run_forever()


main()
