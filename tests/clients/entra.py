"""Microsoft's own library signs in through the appliance: client credentials and device code.

Arguments: tenant. Environment: PENSTOCK_PROXY, PENSTOCK_ROOT. Prints one line of JSON.
"""

import json
import os
import sys

import msal

tenant = sys.argv[1]
proxies = {"https": os.environ["PENSTOCK_PROXY"]}
common = {
    "authority": f"https://login.microsoftonline.com/{tenant}",
    "proxies": proxies,
    "verify": os.environ["PENSTOCK_ROOT"],
}
said = {}

service = msal.ConfidentialClientApplication("app-1", client_credential="a secret", **common)
said["token_endpoint"] = service.authority.token_endpoint
said["credentials"] = service.acquire_token_for_client(["https://graph.microsoft.com/.default"])

person = msal.PublicClientApplication("app-2", **common)
flow = person.initiate_device_flow(["User.Read"])
said["device_flow"] = flow
if "user_code" in flow:
    flow["interval"] = 1
    said["device"] = person.acquire_token_by_device_flow(flow)
print(json.dumps(said))
