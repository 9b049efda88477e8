"""Anthropic's own library asks and streams through the appliance.

Arguments: API key. Environment: PENSTOCK_PROXY, PENSTOCK_ROOT. Prints one line of JSON.
"""

import json
import os
import ssl
import sys

import anthropic

trust = ssl.create_default_context(cafile=os.environ["PENSTOCK_ROOT"])
http = anthropic.DefaultHttpxClient(proxy=os.environ["PENSTOCK_PROXY"], verify=trust, trust_env=False)
client = anthropic.Anthropic(api_key=sys.argv[1], http_client=http, max_retries=0, base_url="https://api.anthropic.com")
question = {"model": "claude-simulated", "max_tokens": 16, "messages": [{"role": "user", "content": "Hello"}]}
try:
    message = client.messages.create(**question)
    with client.messages.stream(**question) as stream:
        streamed = "".join(stream.text_stream)
    print(json.dumps({"status": 200, "text": message.content[0].text, "streamed": streamed}))
except anthropic.APIStatusError as error:
    print(json.dumps({"status": error.status_code, "text": str(error)}))
