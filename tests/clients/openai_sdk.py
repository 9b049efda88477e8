"""OpenAI's own library asks and streams through the appliance.

Arguments: API key. Environment: PENSTOCK_PROXY, PENSTOCK_ROOT. Prints one line of JSON.
"""

import json
import os
import ssl
import sys

import openai

trust = ssl.create_default_context(cafile=os.environ["PENSTOCK_ROOT"])
http = openai.DefaultHttpxClient(proxy=os.environ["PENSTOCK_PROXY"], verify=trust, trust_env=False)
client = openai.OpenAI(api_key=sys.argv[1], http_client=http, max_retries=0, base_url="https://api.openai.com/v1")
question = {"model": "gpt-simulated", "messages": [{"role": "user", "content": "Hello"}]}
try:
    answer = client.chat.completions.create(**question)
    pieces = client.chat.completions.create(stream=True, **question)
    streamed = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
    print(json.dumps({"status": 200, "text": answer.choices[0].message.content, "streamed": streamed}))
except openai.APIStatusError as error:
    print(json.dumps({"status": error.status_code, "text": str(error)}))
