"""grpcio as server and as client, through an inspected connection of the appliance.

Arguments: certificate, key, host, seconds to be quiet. Prints the server's port; reads a line of JSON with proxy and root;
prints one line of JSON: answers, trailers and status of each call, and the metadata that the server was asked with.
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc

certificate, key, host, quiet = sys.argv[1:]
asked = []


def note(context):
    asked.append([[name, value] for name, value in context.invocation_metadata() if isinstance(value, str)])


def reverse(request, context):
    note(context)
    context.set_trailing_metadata((("x-trailer", "reversed"),))
    return request[::-1]


def count(request, context):
    note(context)
    for number in range(3):
        yield request + str(number).encode()
        time.sleep(float(quiet))
    context.set_trailing_metadata((("x-trailer", "counted"),))


def echo(requests, context):
    note(context)
    yield from requests


def refuse(request, context):
    note(context)
    context.abort(grpc.StatusCode.PERMISSION_DENIED, "not for you")


methods = {
    "Reverse": grpc.unary_unary_rpc_method_handler(reverse),
    "Count": grpc.unary_stream_rpc_method_handler(count),
    "Echo": grpc.stream_stream_rpc_method_handler(echo),
    "Refuse": grpc.unary_unary_rpc_method_handler(refuse),
}
shown = grpc.ssl_server_credentials([(Path(key).read_bytes(), Path(certificate).read_bytes())])
server = grpc.server(ThreadPoolExecutor(4), [grpc.method_handlers_generic_handler("penstock.Test", methods)])
print(server.add_secure_port("127.0.0.1:0", shown), flush=True)
server.start()
place = json.loads(sys.stdin.readline())

trust = grpc.ssl_channel_credentials(Path(place["root"]).read_bytes())
own = (("restrict-access-to-tenants", "evil.example"), ("x-between", "kept"))
said = {}


def trailers(call):
    return [[name, value] for name, value in call.trailing_metadata()]


with grpc.secure_channel(f"{host}:443", trust, [("grpc.http_proxy", place["proxy"])]) as channel:
    answer, call = channel.unary_unary("/penstock.Test/Reverse").with_call(b"abc" * 100_000, metadata=own, timeout=60)
    said["reverse"] = [answer == b"cba" * 100_000, call.code().name, trailers(call)]
    call = channel.unary_stream("/penstock.Test/Count")(b"n", metadata=own, timeout=60)
    said["count"] = [[answer.decode() for answer in call], call.code().name, trailers(call)]
    call = channel.stream_stream("/penstock.Test/Echo")((b"%d" % number for number in range(100)), metadata=own, timeout=60)
    said["echo"] = [[int(answer) for answer in call] == list(range(100)), call.code().name]
    try:
        channel.unary_unary("/penstock.Test/Refuse")(b"", metadata=own, timeout=60)
    except grpc.RpcError as refused:
        said["refuse"] = [refused.code().name, refused.details()]
said["asked"] = asked
server.stop(None)
print(json.dumps(said))
