"""An HTTP server that takes pushes and keeps them, for a cluster. receiver.py PORT

`POST /push` takes 0.8's form: one field `packets` with a JSON list; `GET /packets` is all that came, a JSON list, each
with the request's `Authorization` beside it under `authorization` (null if there was none).
"""

import http.server
import json
import sys
import threading
import urllib.parse


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    packets, lock = [], threading.Lock()

    def do_POST(self):
        form = urllib.parse.parse_qs(self.rfile.read(int(self.headers['Content-Length'])).decode())
        for packet in json.loads(form['packets'][0]):
            with self.lock:
                self.packets.append({**packet, 'authorization': self.headers['Authorization']})
        self.answer(b'[]')

    def do_GET(self):
        with self.lock:
            self.answer(json.dumps(self.packets).encode())

    def answer(self, body):
        self.send_response(200)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(('0.0.0.0', int(sys.argv[1])), Receiver).serve_forever()
