"""Keeps the accounts of a NATS server, and reads and makes its stream of events.

nats_stream.py accounts FOLDER              writes accounts.conf for the server and user.creds for its user
nats_stream.py make URL [CREDENTIALS CA]    makes the stream
nats_stream.py read URL [CREDENTIALS CA]    prints each message of the stream as a line of JSON: its id and what it says
"""

import asyncio
import base64
import json
import os
import ssl
import sys
import time

import nats
import nkeys

SUBJECT = "egress.events"


def key(prefix):
    return nkeys.from_seed(nkeys.encode_seed(os.urandom(32), prefix))


def encode(value):
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def token(issuer, subject, kind, **more):
    """A JWT as NATS has it: the issuer's key signs what the subject's key may."""
    head = {"typ": "JWT", "alg": "ed25519-nkey"}
    claims = {"iss": issuer.public_key.decode(), "sub": subject.public_key.decode(), "iat": int(time.time()), "name": kind}
    claims |= {"jti": "1", "nats": {"type": kind, "version": 2, **more}}
    text = ".".join(encode(json.dumps(part).encode()) for part in (head, claims))
    return f"{text}.{encode(issuer.sign(text.encode()))}"


def accounts(folder):
    operator, account, system, user = (
        key(prefix) for prefix in (nkeys.PREFIX_BYTE_OPERATOR, *[nkeys.PREFIX_BYTE_ACCOUNT] * 2, nkeys.PREFIX_BYTE_USER)
    )
    kinds = ["subs", "data", "payload", "imports", "exports", "conn", "leaf", "mem_storage", "disk_storage", "streams", "consumer"]
    limits = {kind: -1 for kind in kinds} | {"wildcards": True}
    preload = "\n".join(
        f"  {one.public_key.decode()}: {token(operator, one, 'account', limits=granted)}"
        for one, granted in ((account, limits), (system, {**limits, "mem_storage": 0, "disk_storage": 0}))
    )
    with open(f"{folder}/accounts.conf", "w") as file:
        file.write(f"operator: {token(operator, operator, 'operator')}\nsystem_account: {system.public_key.decode()}\n")
        file.write(f"resolver: MEMORY\nresolver_preload: {{\n{preload}\n}}\n")
    seed = user.seed.decode()
    jwt = token(account, user, "user", subs=-1, data=-1, payload=-1)
    with open(f"{folder}/user.creds", "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write(f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n")
        file.write(f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n")


async def connect(url, credentials=None, authority=None):
    tls = ssl.create_default_context(cafile=authority) if authority else None
    return await nats.connect(url, user_credentials=credentials, tls=tls, allow_reconnect=False)


async def make(*way):
    connection = await connect(*way)
    await connection.jetstream().add_stream(name="EVENTS", subjects=[SUBJECT])
    await connection.close()


async def read(*way):
    connection = await connect(*way)
    stream = connection.jetstream()
    count = (await stream.stream_info("EVENTS")).state.messages
    subscription = await stream.subscribe(SUBJECT, ordered_consumer=True)
    for _ in range(count):
        message = await subscription.next_msg(timeout=20)
        print(json.dumps({"id": message.headers["Nats-Msg-Id"], "event": json.loads(message.data)}))
    await connection.close()


if __name__ == "__main__":
    act, *rest = sys.argv[1:]
    accounts(*rest) if act == "accounts" else asyncio.run({"make": make, "read": read}[act](*rest))
