"""A real SMTP server (aiosmtpd) with faults by recipient. Prints one JSON line a mail.

Arguments: plain|starttls|implicit, auth|noauth, and the files of certificate and key. Ends when
its standard input ends, so it never outlives the test."""
import json
import ssl
import sys

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

mode, login, certificate, key = sys.argv[1:5]


class Handler:
    def __init__(self):
        self.greylisted = set()

    async def handle_MAIL(self, server, session, envelope, address, options):
        if address.startswith("nosender"):
            return "550 5.7.1 sender refused"
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("grey") and address not in self.greylisted:
            self.greylisted.add(address)
            return "450 4.2.0 greylisted"
        if address.startswith("full"):
            return "452 4.2.2 mailbox full"
        if address.startswith("gone"):
            return "550 5.1.1 no such user"
        if address.startswith("busy") and address not in self.greylisted:
            self.greylisted.add(address)
            return "421 4.3.2 too busy"
        if address.startswith("drop") and address not in self.greylisted:
            self.greylisted.add(address)
            server.transport.abort()
            return "421 gone"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if b"X-Refuse: yes" in envelope.content:
            return "554 5.6.0 content refused"
        print(
            json.dumps(
                {
                    "from": envelope.mail_from,
                    "to": envelope.rcpt_tos,
                    "tls": session.ssl is not None or mode == "implicit",
                    "user": getattr(session, "who", None),
                    "data": envelope.content.decode(),
                }
            ),
            flush=True,
        )
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    good = (data.login, data.password) == (b"bot", b"s3cret")
    session.who = data.login.decode()
    return AuthResult(success=good, handled=False)


settings = {}
if mode != "plain":
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
if mode == "starttls":
    settings.update(tls_context=context, require_starttls=True)
if mode == "implicit":
    settings.update(ssl_context=context)
if login == "auth":
    settings.update(
        authenticator=authenticate, auth_required=True, auth_require_tls=mode == "starttls"
    )


class OnAnyPort(Controller):
    """Reports the port that it was given."""

    def _trigger_server(self):
        # The base class would connect to port 0.
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


controller = OnAnyPort(Handler(), hostname="127.0.0.1", port=0, **settings)
controller.start()
print(json.dumps({"port": controller.port}), flush=True)
sys.stdin.read()
controller.stop()
