"""Reads a PROXY protocol header (hex) by the package proxy-protocol, prints what it says, and prints headers of its own."""

import sys
from ipaddress import ip_address
from socket import SOCK_STREAM

from proxyprotocol.result import ProxyResultIPv4, ProxyResultIPv6
from proxyprotocol.tlv import ProxyProtocolSSLTLV, ProxyProtocolTLV
from proxyprotocol.v1 import ProxyProtocolV1
from proxyprotocol.v2 import ProxyProtocolV2

read = ProxyProtocolV2().unpack(bytes.fromhex(sys.argv[1]))
ends = [f"{address}:{port}" for address, port in (read.source, read.dest)]
print(*ends, read.tlv.authority, read.tlv.unique_id.decode())

for kind, source, destination in [
    (ProxyResultIPv4, "192.0.2.1", "198.51.100.1"),
    (ProxyResultIPv6, "2001:db8::1", "2001:db8::2"),
]:
    ssl = ProxyProtocolSSLTLV(has_ssl=True, has_cert_conn=True, verified=True, version="TLSv1.3", cn="bob")
    tlv = ProxyProtocolTLV(alpn=b"h2", authority="a.example", unique_id=b"id-7", ssl=ssl)
    addresses = (ip_address(source), 56324), (ip_address(destination), 443)
    print(ProxyProtocolV2().pack(kind(*addresses, protocol=SOCK_STREAM, tlv=tlv)).hex())
    print(ProxyProtocolV1().pack(kind(*addresses)).hex())
