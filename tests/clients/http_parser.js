// Reads requests as Node.js's JavaScript parser does. In: one stream of requests a line, in hexadecimal. Out: one line of JSON
// for each, {"requests": [{"method", "url", "headers": [[name, value], ...], "body"}], "error"}.
'use strict';
const { HTTPParser } = require('http-parser-js');

function read(bytes) {
  const requests = [];
  const parser = new HTTPParser(HTTPParser.REQUEST);
  parser[HTTPParser.kOnHeadersComplete] = (head) => {
    const headers = [];
    for (let at = 0; at < head.headers.length; at += 2) headers.push([head.headers[at], head.headers[at + 1]]);
    requests.push({ method: HTTPParser.methods[head.method], url: head.url, headers, body: 0, ended: false });
  };
  parser[HTTPParser.kOnBody] = (chunk, offset, length) => { requests.at(-1).body += length; };
  parser[HTTPParser.kOnMessageComplete] = () => { requests.at(-1).ended = true; };
  const outcome = parser.execute(bytes);
  return { requests, error: outcome instanceof Error ? outcome.message : null };
}

const lines = require('fs').readFileSync(0, 'latin1').split('\n').filter(Boolean);
for (const line of lines) process.stdout.write(JSON.stringify(read(Buffer.from(line, 'hex'))) + '\n');
