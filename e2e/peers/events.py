"""A receiver of pushes that checks them with the libraries that receivers use. events.py SETTINGS

`SETTINGS` is JSON: `secrets`, keys as `standardwebhooks` takes them, or in base64 behind `raw_`; `tls`, with `certificate`, `key`
and `clients`, the files of a server that wants certificates of clients.

The first line of its output is its port. Each request is one more line, JSON: `headers`, `body`, `client` (its certificate's
subject), `verified` (by which of the secrets), `changed` (by which of them a changed body would be) and `events`, as the
CloudEvents SDK reads them: attributes, and the data under `data`. What these libraries refuse stands under `error`, and is
answered with 400.
"""

import base64
import http.server
import json
import ssl
import sys

import standardwebhooks
from cloudevents.core.bindings.http import HTTPMessage, from_http
from cloudevents.core.formats.json import JSONFormat

SETTINGS = json.loads(sys.argv[1])


def key(secret):
    return base64.b64decode(secret.removeprefix('raw_')) if secret.startswith('raw_') else secret


def verified(body, headers):
    """Which of the secrets verify."""
    def by(secret):
        try:
            standardwebhooks.Webhook(key(secret)).verify(body, headers, json_parse=False)
            return True
        except standardwebhooks.WebhookVerificationError:
            return False
    return [by(secret) for secret in SETTINGS.get('secrets', [])]


def read(headers, body):
    """One event."""
    event = from_http(HTTPMessage(headers=headers, body=body), JSONFormat())
    return {**{name: str(value) for name, value in event.get_attributes().items()}, 'data': event.get_data()}


def events(headers, body):
    kind = headers.get('content-type', '')
    if kind.startswith('application/cloudevents-batch+json'):
        one = {'content-type': 'application/cloudevents+json'}
        return [read(one, json.dumps(event).encode()) for event in json.loads(body)]
    if kind.startswith('application/cloudevents+json') or 'ce-id' in headers:
        return [read(headers, body)]
    return []


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length']))
        headers = {name.lower(): value for name, value in self.headers.items()}
        told = {'headers': headers, 'body': body.decode(), 'client': None, 'error': None}
        if SETTINGS.get('tls'):
            told['client'] = dict(pair for names in self.connection.getpeercert()['subject'] for pair in names)
        try:
            told['verified'], told['changed'] = verified(body, headers), verified(body + b' ', headers)
            told['events'] = events(headers, body)
        except Exception as error:  # Whatever the libraries have to say.
            told['error'] = f'{type(error).__name__}: {error}'
        print(json.dumps(told), flush=True)
        answer = (told['error'] or 'taken').encode()
        self.send_response(400 if told['error'] else 200)
        self.send_header('Content-Length', str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Receiver)
if tls := SETTINGS.get('tls'):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls['certificate'], tls['key'])
    context.load_verify_locations(tls['clients'])
    context.verify_mode = ssl.CERT_REQUIRED
    server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
