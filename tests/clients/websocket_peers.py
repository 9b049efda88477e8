"""websockets as server and as client, through an inspected connection of the appliance.

Arguments: certificate, key, host, seconds to be quiet. Prints the server's port; reads a line of JSON with proxy and root;
prints one line of JSON: what came back, whether a ping was answered, and the close codes that each side was told.
"""

import json
import queue
import ssl
import sys
import threading
import time

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.sync.server import serve

certificate, key, host, quiet = sys.argv[1:]
told = queue.Queue()
asked = []


def answer(socket):
    asked.append([list(field) for field in socket.request.headers.raw_items()])
    try:
        for message in socket:
            if message == "end":
                socket.close(4001, "by the server")
            else:
                socket.send(message)
    except ConnectionClosed:
        pass
    told.put([socket.close_code, socket.close_reason])


shown = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
shown.load_cert_chain(certificate, key)
server = serve(answer, "127.0.0.1", 0, ssl=shown, ping_interval=None, max_size=None)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.socket.getsockname()[1], flush=True)
place = json.loads(sys.stdin.readline())

trust = ssl.create_default_context(cafile=place["root"])
own = {"Chatgpt-Allowed-Workspace-Id": "evil"}
said = {}


def open_socket():
    return connect(
        f"wss://{host}/socket", ssl=trust, proxy=place["proxy"], additional_headers=own, ping_interval=0.3, max_size=None
    )


with open_socket() as socket:
    messages = ["text", b"\x00\xff" * 150_000, "", "\N{WATER WAVE}" * 1000]
    for message in messages:
        socket.send(message)
    said["echoed"] = [socket.recv(30) for _ in messages] == messages
    said["pong"] = socket.ping().wait(30)
    time.sleep(float(quiet))
    socket.send("after the quiet")
    said["after"] = socket.recv(30)
    socket.send("end")
    try:
        socket.recv(30)
    except ConnectionClosed:
        said["client_told"] = [socket.close_code, socket.close_reason]
told.get(timeout=30)

socket = open_socket()
socket.close(4002, "by the client")
said["server_told"] = told.get(timeout=30)
said["asked"] = asked
print(json.dumps(said))
