// Chromium on some pages, and what those fetch: over which connection and protocol, and how long each took.
//
// Arguments: CHROMIUM PROFILE [PAGE | +FETCHED | --FLAG]..., in turn. Prints a list of JSON: of each address
// {"url": .., "status": n, "protocol": "h2", "connection": n, "ms": n}, or {"url": .., "error": ".."}.
"use strict";

const { chromium } = require("playwright-core");

const [program, profile, ...rest] = process.argv.slice(2);
const flags = rest.filter((word) => word.startsWith("--"));
const steps = rest.filter((word) => !word.startsWith("--"));
const address = (step) => step.replace(/^\+/, "");

async function main() {
  const args = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", ...flags];
  const context = await chromium.launchPersistentContext(profile, { executablePath: program, args });
  const page = context.pages()[0] ?? (await context.newPage());
  const session = await context.newCDPSession(page);
  const requests = new Map();
  const ended = new Map();
  session.on("Network.requestWillBeSent", ({ requestId, request, timestamp }) => {
    requests.set(requestId, { url: request.url, begun: timestamp });
  });
  session.on("Network.responseReceived", ({ requestId, response, timestamp }) => {
    const { url, begun } = requests.get(requestId);
    const { status, protocol, connectionId: connection } = response;
    ended.set(url, { url, status, protocol, connection, ms: Math.round((timestamp - begun) * 1000) });
  });
  session.on("Network.loadingFailed", ({ requestId, errorText: error }) => {
    const { url } = requests.get(requestId);
    if (!ended.has(url)) ended.set(url, { url, error });
  });
  await session.send("Network.enable");
  let opened = null;
  for (const step of steps) {
    if (!step.startsWith("+")) {
      opened = await page.goto(step).catch(() => null);
    } else if (opened) {
      // Another site's answer cannot be read here, but it is asked for with the user's cookies, as a frame or a picture is.
      const how = { mode: "no-cors", credentials: "include", cache: "no-store" };
      await page.evaluate(([one, how]) => fetch(one, how).then(() => {}, () => {}), [address(step), how]);
    }
  }
  // Events follow the answers on the same pipe, so those of all that has ended have come.
  await session.send("Network.disable");
  process.stdout.write(JSON.stringify(steps.map(address).map((one) => ended.get(one) ?? { url: one })));
  await context.close();
}

main();
