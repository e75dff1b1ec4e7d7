"""Python's own HTTP server, over TLS or not, with answers that no array gives: stranger.py CERTIFICATE KEY. Says its port."""

import http.server
import json
import ssl
import sys

PERSON = {"result": {"name": "anna", "roles": ["ADMIN"]}, "metadata": {}, "error": None}


def error(code):
    return {"result": None, "metadata": {}, "error": {"code": code, "message": f"this is {code}"}}


class Stranger(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, kind, body, headers=()):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def json(self, status, told, headers=()):
        self.answer(status, "application/json", json.dumps(told).encode(), headers)

    def do_POST(self):
        length = int(self.headers["Content-Length"])
        deed = json.loads(self.rfile.read(length)).get("username", "")
        getattr(self, deed or "logout")()

    def logout(self):
        print("logout", self.headers["Cookie"], flush=True)
        self.json(200, {"result": None})

    def page(self):
        self.answer(200, "text/html", b"<h1>It works")

    def guarded(self):
        self.answer(401, "text/html", b"<h1>Who are you", [("WWW-Authenticate", "Basic realm=router")])

    def elsewhere(self):
        self.answer(302, "text/html", b"", [("Location", "https://127.0.0.1:1/api/rest/users/login")])

    def other(self):
        self.json(200, {"status": "ok"})

    def locked(self):
        self.json(429, error("TOO_MANY_LOGINS"))

    def approval(self):
        print("asked", self.path, flush=True)
        self.json(403, error("APPROVAL_REQUIRED"))

    def long_head(self):
        self.json(200, PERSON, [(f"X-{number}", "x" * 1000) for number in range(40)])

    def many_heads(self):
        self.json(200, PERSON, [(f"X-{number}", "x") for number in range(90)])

    def long_body(self):
        self.json(200, PERSON | {"more": "x" * (257 << 10)})

    def no_http(self):
        self.wfile.write(b"SSH-2.0-OpenSSH_9.2p1\r\n")
        self.close_connection = True

    def bad_chunk(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}")
        self.close_connection = True

    def closes(self):
        self.close_connection = True

    def half(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{")
        self.close_connection = True

    def one_each(self):
        # Closes after its answer, so that the session is ended over another connection.
        session = ("Set-Cookie", "JSESSIONID=abc123; Path=/; HttpOnly")
        self.json(200, PERSON, [session, ("Connection", "close")])

    def session_without_person(self):
        self.json(200, {"result": {}}, [("Set-Cookie", "JSESSIONID=abc124")])

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        pass


server = Server(("127.0.0.1", 0), Stranger)
if len(sys.argv) > 1:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[1], sys.argv[2])
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
print("at", server.server_address[1], "ready", flush=True)
server.serve_forever()
