#!/usr/bin/env python3
"""Captures requests of real clients on loopback, for the tests of HTTP/1.1 and of CONNECT.

Usage: capture.py [FOLDER]. Needs curl and Chromium. The address of the capturing server becomes `login.example`, and its
scheme https; nothing else is changed. Nothing leaves this machine but what Chromium asks of the capturing proxy, which
answers nothing.
"""

import pathlib
import socket
import subprocess
import sys
import tempfile
import threading

FOLDER = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else __file__).resolve()
FOLDER = FOLDER if FOLDER.is_dir() else FOLDER.parent

LISTENER = socket.create_server(("127.0.0.1", 0), backlog=64)
PLACE = "127.0.0.1:%d" % LISTENER.getsockname()[1]
PAGE = """<script>
document.cookie = 'fpc=Ak';
fetch('/common/oauth2/v2.0/token?client-request-id=7', {method: 'POST',
  headers: {'Content-Type': 'application/x-www-form-urlencoded;charset=utf-8'}, body: 'a=1&b=2'});
new WebSocket('ws://%s/ws');
</script>""" % PLACE
# The first bytes of the requests to keep, and the files that they go to.
WANTED = {}


def keep(request):
    for start, name in list(WANTED.items()):
        if request.startswith(start):
            request = request.replace(b"http://" + PLACE.encode(), b"https://login.example")
            (FOLDER / name).write_bytes(request.replace(PLACE.encode(), b"login.example"))
            del WANTED[start]


def serve(connection):
    connection.settimeout(5)
    try:
        while True:
            request = b""
            while b"\r\n\r\n" not in request:
                received = connection.recv(65536)
                if not received:
                    return
                request += received
            head, _, body = request.partition(b"\r\n\r\n")
            for line in head.lower().split(b"\r\n"):
                while line.startswith(b"content-length:") and len(body) < int(line.split(b":")[1]):
                    body += connection.recv(65536)
            keep(head + b"\r\n\r\n" + body)
            if not head.startswith(b"CONNECT"):
                answer = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s" % (len(PAGE), PAGE)
                connection.sendall(answer.encode())
    except OSError:
        pass
    finally:
        connection.close()


def accept():
    while True:
        connection, _ = LISTENER.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


def run(*command):
    with tempfile.TemporaryDirectory() as home:
        command = [word.replace("HOME", home) for word in command]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main():
    threading.Thread(target=accept, daemon=True).start()
    chromium = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
                "--disable-component-update", "--user-data-dir=HOME", "--dump-dom"]
    WANTED.update({b"POST /common": "chromium-post.http", b"GET /ws": "chromium-websocket.http"})
    run(*chromium, "--virtual-time-budget=3000", "http://%s/" % PLACE)
    WANTED[b"CONNECT login.live.com"] = "chromium-connect.http"
    run(*chromium, "--proxy-server=" + PLACE, "https://login.live.com/")
    WANTED[b"GET /curl"] = "curl-get.http"
    run("curl", "-m", "5", "http://%s/curl" % PLACE)
    WANTED[b"CONNECT login.live.com"] = "curl-connect.http"
    run("curl", "-m", "5", "-x", "http://user:password@" + PLACE, "https://login.live.com/")
    WANTED[b"CONNECT [2001"] = "curl-connect-ipv6.http"
    run("curl", "-m", "5", "-p", "--proxy1.0", PLACE, "https://[2001:db8::1]:8443/")
    WANTED[b"CONNECT login.live.com"] = "python-connect.http"
    tunnel = "import http.client as h; c = h.HTTPSConnection('%s', timeout=3); c.set_tunnel('login.live.com'); c.request('GET', '/')"
    run(sys.executable, "-c", tunnel % PLACE)
    sys.exit("not captured: %s" % list(WANTED.values()) if WANTED else 0)


main()
