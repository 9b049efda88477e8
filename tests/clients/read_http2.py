"""Reads a client's HTTP/2 as the hyper stack does (hyperframe, hpack).

In: one connection's bytes towards the origin a line, in hexadecimal. Out: one line of JSON for each,
{"blocks": [{"stream": 1, "fields": [["name", "value"], ...]}, ...], "error": null}.
"""

import json
import sys

from hpack import Decoder
from hyperframe.frame import ContinuationFrame, Frame, HeadersFrame

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frames(data):
    while data:
        frame, length = Frame.parse_frame_header(memoryview(data[:9]))
        frame.parse_body(memoryview(data[9 : 9 + length]))
        yield frame
        data = data[9 + length :]


def read(data):
    assert data.startswith(PREFACE), "no preface"
    decoder, blocks, block = Decoder(), [], b""
    for frame in frames(data[len(PREFACE) :]):
        if isinstance(frame, (HeadersFrame, ContinuationFrame)):
            block += frame.data
            if "END_HEADERS" in frame.flags:
                fields = [[str(name), str(value)] for name, value in decoder.decode(block)]
                blocks.append({"stream": frame.stream_id, "fields": fields})
                block = b""
        else:
            assert not block, "a frame inside a header block"
    assert not block, "a block without end"
    return blocks


for line in sys.stdin:
    try:
        print(json.dumps({"blocks": read(bytes.fromhex(line)), "error": None}))
    except Exception as error:  # whatever the stack refuses is the finding
        print(json.dumps({"blocks": [], "error": f"{type(error).__name__}: {error}"}))
