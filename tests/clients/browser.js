// What the scripts in Chromium have in common: starting it, looking at pages, asking the test for something.
"use strict";

const assert = require("node:assert/strict");
const path = require("node:path");
const readline = require("node:readline");
const { chromium } = require("playwright-core");
const axe = require("axe-core");

const answers = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
// Whatever the browser's console complains of, and whatever axe finds serious.
const complaints = [];

// A line on standard output asks the test for something; it answers with a line.
async function ask(what) {
  process.stdout.write(`${what}\n`);
  return (await answers.next()).value;
}

function watch(page) {
  page.on("console", (message) => {
    // A status of 4xx that a page is meant to get is told there too.
    const meant = message.text().startsWith("Failed to load resource: the server responded with a status of 4");
    if (message.type() === "error" && !meant) complaints.push(`${page.url()}: ${message.text()}`);
  });
  page.on("pageerror", (error) => complaints.push(`${page.url()}: ${error.message}`));
}

// The page as it looks on a desk and on a phone, by day and by night; and whether everybody can read it.
async function look(page, folder, name) {
  for (const colorScheme of ["light", "dark"]) {
    for (const [kind, width, height] of [["desk", 1280, 800], ["phone", 390, 844]]) {
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      await page.screenshot({ path: path.join(folder, `${name}-${kind}-${colorScheme}.png`), fullPage: true });
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.ok(wide <= 0, `${name}: ${kind} scrolls sideways by ${wide} pixels`);
      await page.evaluate(axe.source);
      const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
      for (const { id, impact, nodes } of violations.filter(({ impact }) => ["serious", "critical"].includes(impact))) {
        const where = nodes.map((node) => `${node.html} ${node.failureSummary}`).join("\n");
        complaints.push(`${name}, ${kind}, ${colorScheme}: axe: ${impact}: ${id}:\n${where}`);
      }
    }
  }
  await page.setViewportSize({ width: 1280, height: 800 });
}

async function go(page, name) {
  await page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name, exact: true }).click();
}

// Runs `part` with a browser; the process ends with it, and fails with it.
function launch(program, part) {
  const args = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"];
  const run = async () => {
    const browser = await chromium.launch({ executablePath: program, args });
    try {
      await part(browser);
    } finally {
      await browser.close();
    }
  };
  run().then(() => process.exit(0), (error) => {
    console.error(error);
    process.exit(1);
  });
}

module.exports = { ask, complaints, go, launch, look, watch };
