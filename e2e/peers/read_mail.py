"""Reads a mail from standard input as Python's own parser does, and prints it as JSON."""
import email
import email.policy
import json
import sys

raw = sys.stdin.buffer.read()
mail = email.message_from_bytes(raw, policy=email.policy.default)
leaves = [part for part in mail.walk() if not part.is_multipart()]


def addresses(name):
    return [[a.display_name, a.addr_spec] for header in mail.get_all(name, []) for a in header.addresses]


print(
    json.dumps(
        {
            "type": mail.get_content_type(),
            "headers": {name: str(value) for name, value in mail.items()},
            "from": addresses("From"),
            "to": addresses("To"),
            "cc": addresses("Cc"),
            "within": [part.get_content_type() for part in mail.walk() if part.is_multipart()][1:],
            "parts": [
                {
                    "type": part.get_content_type(),
                    "name": part.get_filename(),
                    "how": part.get_content_disposition(),
                    "text": part.get_content().replace("\r\n", "\n"),
                }
                for part in leaves
            ],
            "defects": [repr(d) for part in mail.walk() for d in part.defects]
            + [repr(d) for value in mail.values() for d in value.defects],
            "ascii": raw.isascii(),
        }
    )
)
