"""QUIC by aioquic: an origin that echoes, one that speaks HTTP/3, and a client that says how it fared.

quic.py serve ADDRESS CERTIFICATE KEY     port 443; prints {"ready": true}, and the source of each connection
quic.py pages ADDRESS CERTIFICATE KEY     the same over HTTP/3: a page to every request
quic.py ask NAME ADDRESS [BYTES [VERSION [LOCAL]]]
    prints one line of JSON:
    {"outcome": "echoed", "bytes": n, "version": "..."}, {"outcome": "closed", "error": n, "ms": t} or
    {"outcome": "timeout", "ms": t}; ms: from the first packet
quic.py hello NAME [PADDING]               prints {"datagrams": [hex, ...]}: a client's first flight, with so many bytes more
"""

import asyncio
import json
import ssl
import sys
import time

from aioquic.asyncio import QuicConnectionProtocol, connect, serve
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import HandshakeCompleted, StreamDataReceived
from aioquic.quic.packet import QuicProtocolVersion

# Without an answer: a client that hears nothing waits this long.
IDLE_SECONDS = 6.0
VERSIONS = {"1": QuicProtocolVersion.VERSION_1, "2": QuicProtocolVersion.VERSION_2}


def say(**words):
    print(json.dumps(words), flush=True)


class Echo(QuicConnectionProtocol):
    def quic_event_received(self, event):
        if isinstance(event, StreamDataReceived):
            self._quic.send_stream_data(event.stream_id, event.data, event.end_stream)
        elif isinstance(event, HandshakeCompleted):
            say(source=self._quic._network_paths[0].addr[:2])


class Pages(Echo):
    http = None

    def quic_event_received(self, event):
        if isinstance(event, HandshakeCompleted):
            super().quic_event_received(event)
        self.http = self.http or H3Connection(self._quic)
        for request in self.http.handle_event(event):
            if isinstance(request, HeadersReceived):
                body = b"over HTTP/3"
                head = [(b":status", b"200"), (b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
                self.http.send_headers(request.stream_id, head)
                self.http.send_data(request.stream_id, body, end_stream=True)
                self.transmit()


class Client(QuicConnectionProtocol):
    closed = None
    closed_at = None

    def datagram_received(self, data, addr):
        super().datagram_received(data, addr)
        # The library tells it to its user three timeouts later, when the connection has drained.
        if self.closed_at is None and self._quic._close_event is not None:
            self.closed, self.closed_at = self._quic._close_event, time.monotonic()


async def answer(protocol, address, certificate, key):
    configuration = QuicConfiguration(is_client=False, alpn_protocols=["h3"], supported_versions=list(VERSIONS.values()))
    configuration.load_cert_chain(certificate, key)
    await serve(address, 443, configuration=configuration, create_protocol=protocol)
    say(ready=True)
    await asyncio.Event().wait()


async def ask(name, address, count=1, version="1", local=0):
    configuration = QuicConfiguration(is_client=True, alpn_protocols=["h3"], server_name=name, idle_timeout=IDLE_SECONDS)
    configuration.verify_mode = ssl.CERT_NONE
    configuration.original_version = VERSIONS[version]
    configuration.supported_versions = [VERSIONS[version]]
    protocol, started = None, time.monotonic()
    try:
        async with connect(
            address,
            443,
            configuration=configuration,
            create_protocol=Client,
            wait_connected=False,
            local_port=int(local),
        ) as protocol:
            protocol.transmit()
            await protocol.wait_connected()
            reader, writer = await protocol.create_stream()
            writer.write(b"x" * int(count))
            writer.write_eof()
            echoed = await reader.read()
        return {"outcome": "echoed", "bytes": len(echoed), "version": version}
    except ConnectionError:
        pass
    if protocol is not None and protocol.closed is not None:
        return {"outcome": "closed", "error": protocol.closed.error_code, "ms": since(started, protocol.closed_at)}
    return {"outcome": "timeout", "ms": since(started, time.monotonic())}


def hello(name, padding=0):
    alpn = ["h3"] + [f"{number:0>200}" for number in range(int(padding) // 200)]
    connection = QuicConnection(configuration=QuicConfiguration(is_client=True, alpn_protocols=alpn, server_name=name))
    connection.connect(("192.0.2.1", 443), now=0.0)
    return [data.hex() for data, _ in connection.datagrams_to_send(now=0.0)]


def since(started, now):
    return round((now - started) * 1000)


async def main():
    match sys.argv[1:]:
        case ["serve", address, certificate, key]:
            await answer(Echo, address, certificate, key)
        case ["pages", address, certificate, key]:
            await answer(Pages, address, certificate, key)
        case ["ask", name, address, *more]:
            say(**await ask(name, address, *more))
        case ["hello", name, *more]:
            say(datagrams=hello(name, *more))
        case _:
            sys.exit(__doc__)


asyncio.run(main())
