"""A real SMTP server (aiosmtpd) that keeps what it takes.

    smtpd.py FOLDER                                 on a free port of loopback; prints it
    smtpd.py FOLDER --port PORT --pages PORT        for all; `GET /mails` on the second port is a JSON list of messages

A message is on disk before the client gets its 250: one file a message, with the envelope in X- headers.
"""

import argparse
import asyncio
import http.server
import itertools
import json
import os
import threading

from aiosmtpd.smtp import SMTP


class Keep:
    def __init__(self, folder):
        self.folder, self.numbers = folder, itertools.count(1)

    async def handle_DATA(self, server, session, envelope):
        name = os.path.join(self.folder, f'{next(self.numbers):06}.eml')
        with open(name + '.part', 'wb') as file:
            file.write(b'X-Envelope-To: ' + ', '.join(envelope.rcpt_tos).encode() + b'\r\n' + envelope.content)
        os.rename(name + '.part', name)
        return '250 kept'

    def mails(self):
        for name in sorted(name for name in os.listdir(self.folder) if name.endswith('.eml')):
            with open(os.path.join(self.folder, name), encoding='utf-8', errors='replace', newline='') as file:
                yield file.read()


def pages(keep, port):
    class Pages(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path != '/mails':
                self.send_error(404)
                return
            body = json.dumps(list(keep.mails())).encode()
            self.send_response(200)
            self.send_header('Content-Type', 'application/json')
            self.send_header('Content-Length', str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(('0.0.0.0', port), Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()


async def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
    parser.add_argument('folder')
    parser.add_argument('--port', type=int)
    parser.add_argument('--pages', type=int)
    a = parser.parse_args()
    os.makedirs(a.folder, exist_ok=True)
    keep = Keep(a.folder)  # one for all connections: it numbers the messages
    host, port = ('0.0.0.0', a.port) if a.port else ('127.0.0.1', 0)
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(keep, enable_SMTPUTF8=True), host, port)
    if a.pages:
        pages(keep, a.pages)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
