"""requests, httpx and a browser-like curl_cffi through the appliance, each with keep-alive.

Arguments: URL, how often. Environment: PENSTOCK_PROXY, PENSTOCK_ROOT. Prints one line of JSON: statuses by client.
"""

import json
import os
import ssl
import sys

import httpx
import requests
from curl_cffi import requests as browser

url, times = sys.argv[1], int(sys.argv[2])
proxy, root = os.environ["PENSTOCK_PROXY"], os.environ["PENSTOCK_ROOT"]
said = {}

with requests.Session() as session:
    session.trust_env = False
    session.proxies = {"https": proxy}
    session.verify = root
    said["requests"] = [session.get(url, timeout=30).status_code for _ in range(times)]

with httpx.Client(proxy=proxy, verify=ssl.create_default_context(cafile=root), trust_env=False) as client:
    said["httpx"] = [client.get(url).status_code for _ in range(times)]

for imitated in ("chrome", "firefox", "safari"):
    with browser.Session(impersonate=imitated, proxies={"https": proxy}, verify=root, trust_env=False) as session:
        said[imitated] = [session.get(url, timeout=30).status_code for _ in range(times)]
print(json.dumps(said))
