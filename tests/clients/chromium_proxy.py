"""Chromium through a proxy that asks for credentials, driven over its debugging pipe with nothing but the standard library.

Arguments: CHROMIUM PROXY PROFILE_FOLDER USER PASSWORD URL. Prints how often it was asked, and the page's text.
"""

import json
import os
import subprocess
import sys

chromium, proxy, profile, user, password, url = sys.argv[1:]
commands_read, commands_write = os.pipe()
answers_read, answers_write = os.pipe()


def wire():
    # The browser reads commands on 3 and writes answers on 4. Both ends may be on these numbers already.
    read, write = os.dup2(commands_read, 13), os.dup2(answers_write, 14)
    os.dup2(read, 3)
    os.dup2(write, 4)


browser = subprocess.Popen(
    [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
     "--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-pipe",
     f"--user-data-dir={profile}", f"--proxy-server={proxy}", "about:blank"],
    close_fds=False, preexec_fn=wire, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
os.close(commands_read)
os.close(answers_write)
pending = b""
asked = 0
last_id = 0
session = None


def send(method, **params):
    global last_id
    last_id += 1
    message = {"id": last_id, "method": method, "params": params}
    if session:
        message["sessionId"] = session
    os.write(commands_write, json.dumps(message).encode() + b"\0")
    return last_id


def receive():
    global pending
    while b"\0" not in pending:
        piece = os.read(answers_read, 65536)
        if not piece:
            raise SystemExit("the browser has ended")
        pending += piece
    message, pending = pending.split(b"\0", 1)
    return json.loads(message)


def handle(message):
    """Lets each request go on, and answers the proxy's question once."""
    global asked
    method, params = message.get("method"), message.get("params", {})
    if method == "Fetch.requestPaused":
        send("Fetch.continueRequest", requestId=params["requestId"])
    elif method == "Fetch.authRequired":
        asked += 1
        assert params["authChallenge"]["source"] == "Proxy", params
        how = "ProvideCredentials" if asked == 1 else "CancelAuth"
        answer = {"response": how, "username": user, "password": password}
        send("Fetch.continueWithAuth", requestId=params["requestId"], authChallengeResponse=answer)
    return method


def call(method, **params):
    wanted = send(method, **params)
    while True:
        message = receive()
        if message.get("id") == wanted:
            assert "error" not in message, message
            return message["result"]
        handle(message)


try:
    target = call("Target.createTarget", url="about:blank")["targetId"]
    session = call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    call("Fetch.enable", handleAuthRequests=True)
    call("Page.enable")
    call("Page.navigate", url=url)
    while handle(receive()) != "Page.loadEventFired":
        pass
    page = call("Runtime.evaluate", expression="document.body.innerText")["result"]["value"]
    print(f"asked: {asked}\n{page}")
finally:
    browser.kill()
    browser.wait()
