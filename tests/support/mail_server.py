"""A real mail server that keeps what it gets: mail_server.py PORT FOLDER MODE [CERTIFICATE KEY]

MODE is plain, starttls (nothing but STARTTLS before TLS) or tls (from the first byte). With TLS, an account
`hindsight` with the password `P0SECRET0` is needed. Mails become FOLDER/<number>.eml, their envelopes
FOLDER/<number>.json. gone@... is refused for good, later@... for now.
"""

import asyncio
import json
import os
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

port, folder, mode = int(sys.argv[1]), sys.argv[2], sys.argv[3]


class Keeper:
    def __init__(self):
        self.number = 0

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("gone@"):
            return "550 5.1.1 no such mailbox"
        if address.startswith("later@"):
            return "451 4.3.0 try later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        self.number += 1
        told = {"from": envelope.mail_from, "to": envelope.rcpt_tos, "tls": server.transport.get_extra_info("cipher") is not None}
        name = os.path.join(folder, str(self.number))
        with open(name + ".json", "w") as file:
            json.dump(told, file)
        with open(name + ".part", "wb") as file:
            file.write(envelope.original_content)
        os.rename(name + ".part", name + ".eml")
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    known = data.login == b"hindsight" and data.password == b"P0SECRET0"
    return AuthResult(success=known, handled=known)


async def main():
    keeper, options, outer = Keeper(), {}, None
    if mode != "plain":
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(sys.argv[4], sys.argv[5])
        options = {"authenticator": authenticate, "auth_required": True}
        if mode == "tls":
            outer, options["auth_require_tls"] = context, False
        else:
            options.update(tls_context=context, require_starttls=True)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(keeper, hostname="localhost", loop=loop, **options), "127.0.0.1", port, ssl=outer
    )
    await server.serve_forever()


asyncio.run(main())
