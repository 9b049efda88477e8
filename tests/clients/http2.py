"""httpx with h2, and curl_cffi as four browsers, over HTTP/2 through the appliance, each over one connection.

Arguments: URL, how often. Environment: PENSTOCK_PROXY, PENSTOCK_ROOT. Prints one line of JSON: pairs of status and
HTTP version by client. httpx brings a restriction header of its own, which its encoder puts into the dynamic table.
"""

import json
import os
import ssl
import sys

import httpx
from curl_cffi import CurlHttpVersion
from curl_cffi import requests as browser

url, times = sys.argv[1], int(sys.argv[2])
proxy, root = os.environ["PENSTOCK_PROXY"], os.environ["PENSTOCK_ROOT"]
said = {}

trust = ssl.create_default_context(cafile=root)
own = {"Restrict-Access-To-Tenants": "evil.example", "X-Between": "kept"}
with httpx.Client(proxy=proxy, verify=trust, trust_env=False, http2=True) as client:
    answers = [client.get(url, headers=own | {"X-Number": str(number)}) for number in range(times)]
    said["httpx"] = [[answer.status_code, answer.http_version] for answer in answers]

for imitated in ("chrome", "firefox", "safari", "edge"):
    with browser.Session(impersonate=imitated, proxies={"https": proxy}, verify=root, trust_env=False) as session:
        answers = [session.get(url, timeout=30) for _ in range(times)]
        version = {CurlHttpVersion.V2_0: "HTTP/2", CurlHttpVersion.V1_1: "HTTP/1.1"}
        said[imitated] = [[answer.status_code, version.get(answer.http_version)] for answer in answers]
print(json.dumps(said))
