"""A real SMTP server (aiosmtpd) that keeps what it takes. smtpd.py FOLDER: prints its port.

A message is on disk before the client gets its 250: one file a message, with the envelope in X- headers.
"""

import asyncio
import itertools
import os
import sys

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


async def main():
    keep = Keep(sys.argv[1])  # one for all connections: it numbers the messages
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(keep, enable_SMTPUTF8=True), '127.0.0.1', 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
