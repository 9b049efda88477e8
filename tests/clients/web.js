// The web UI in Chromium, as an operator uses it: clicks, not requests.
//
// Arguments: CHROMIUM FOLDER PART ADDRESS PASSWORD. Screenshots of every page go to FOLDER. Whatever the browser's console
// complains of, and whatever axe finds serious, ends the run. A line on standard output asks the test for something; it
// answers with a line.
"use strict";

const assert = require("node:assert/strict");
const fs = require("node:fs");
const browsers = require("./browser.js");

const { ask, complaints, go, launch, watch } = browsers;
const [program, folder, part, address, password] = process.argv.slice(2);
const look = (page, name) => browsers.look(page, folder, name);

async function signIn(page, user, secret) {
  await page.getByLabel("User").fill(user);
  await page.getByLabel("Password").fill(secret);
  await page.getByRole("button", { name: "Sign in" }).click();
}

// From signing in to rolling back: what an operator does on a day on which something is changed.
async function chain(page) {
  await page.goto(`${address}/report?status=denied`);
  await look(page, "sign-in");
  await signIn(page, "admin", "not the password");
  await page.getByRole("alert").getByText("wrong name or password").waitFor();
  await signIn(page, "admin", password);
  // Where one wanted to go.
  await page.getByRole("heading", { name: "Report", level: 1 }).waitFor();
  await go(page, "Policy");
  const text = page.getByLabel("Document (TOML)");
  const before = await text.inputValue();
  const lines = before.split("\n");
  const line = lines.findIndex((one) => one.startsWith("permitted_tenants")) + 1;
  assert.ok(line > 0, before);
  // A letter is missing in the key: the mistake is told at its line while one writes.
  await text.fill(before.replace("permitted_tenants", "permited_tenants"));
  await page.locator(`#findings li.bad[data-line="${line}"]`).first().waitFor();
  const marked = page.locator(`.gutter span.bad:nth-child(${line})`);
  await marked.waitFor();
  assert.equal(await marked.textContent(), String(line));
  await look(page, "policy-mistake");
  // The mistake stays out of the way to the data planes, too, when one insists.
  await page.getByRole("button", { name: "Review the change" }).click();
  await page.getByRole("alert").getByText("Not applied").waitFor();
  await page.locator(`#findings [data-line="${line}"] .place`).first().click();
  const place = await text.evaluate((area) => area.value.slice(0, area.selectionStart).split("\n").length);
  assert.equal(place, line, "the finding leads to its line");
  const mended = before.replace("contoso.com\"", "contoso.com\", \"northwind.example.com\"");
  assert.notEqual(mended, before);
  await text.fill(mended);
  await page.locator("#findings .right").waitFor();
  assert.equal(await page.locator(".gutter span.bad").count(), 0);
  await page.getByLabel("Why (for the history)").fill("Northwind joins");
  await look(page, "policy");
  await page.getByRole("button", { name: "Review the change" }).click();
  await page.locator(".diff .added", { hasText: "northwind.example.com" }).waitFor();
  await page.getByRole("cell", { name: /northwind\.example\.com/ }).first().waitFor();
  await look(page, "review");
  await page.getByRole("button", { name: "Apply to every data plane" }).click();
  await page.getByRole("status").getByText("Epoch 2 is in force on 1 data plane(s).").waitFor();
  assert.equal(await ask("a refused sign-in"), "done");
  await go(page, "Report");
  await page.locator("select[name=status]").selectOption("denied");
  await page.getByLabel("Target tenant", { exact: true }).first().fill("evil.example");
  await page.locator("select[name=connector]").selectOption("microsoft-entra");
  await page.getByRole("button", { name: "Show", exact: true }).click();
  const row = page.locator("tbody tr", { hasText: "evil.example" }).filter({ hasText: "denied" });
  await row.first().waitFor();
  assert.equal(await page.locator("section", { hasText: "Events" }).last().locator("tbody tr").count(), 1);
  await page.locator(".chart canvas").waitFor();
  await look(page, "report");
  await page.getByText("Columns", { exact: true }).click();
  await page.getByLabel("Path", { exact: true }).check();
  await page.getByLabel("Host", { exact: true }).uncheck();
  await page.getByRole("button", { name: "Show", exact: true }).click();
  await page.getByRole("columnheader", { name: "Path" }).waitFor();
  assert.equal(await page.getByRole("columnheader", { name: "Host" }).count(), 0);
  const saved = page.waitForEvent("download");
  await page.getByRole("link", { name: "CSV", exact: true }).click();
  const csv = fs.readFileSync(await (await saved).path(), "utf8").trim().split("\r\n");
  assert.equal(csv.length, 2, csv.join("\n"));
  assert.ok(csv[0].startsWith("time,") && csv[1].includes("evil.example"), csv.join("\n"));
  await go(page, "Policy");
  await page.getByRole("link", { name: "History and rollback" }).click();
  await page.getByRole("cell", { name: "Northwind joins" }).waitFor();
  await look(page, "history");
  await page.getByRole("button", { name: "Roll back to epoch 1" }).click();
  await page.getByRole("status").getByText("Epoch 3 is in force on 1 data plane(s).").waitFor();
  assert.equal(await text.inputValue(), before);
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("button", { name: "Sign in" }).waitFor();
  await page.goto(`${address}/policy`);
  await page.getByRole("button", { name: "Sign in" }).waitFor();
}

// Every page, and what is done on it.
async function pages(page) {
  await page.goto(address);
  await signIn(page, "admin", password);
  await page.getByRole("heading", { name: "Overview" }).waitFor();
  await page.getByText("Refused by vendors").first().waitFor();
  await look(page, "overview");
  await go(page, "Catalogue");
  await look(page, "catalogue");
  await page.getByRole("link", { name: "Catalogue" }).waitFor();
  await page.locator("tbody a[href='/catalogue/microsoft-entra']").click();
  await page.getByText("AADSTS500021").first().waitFor();
  await look(page, "connector");
  await go(page, "Authority");
  const root = await (await page.request.get(`${address}/ca/root.pem`)).text();
  const { X509Certificate } = require("node:crypto");
  const print = new X509Certificate(root).fingerprint256;
  await page.getByText(print).waitFor();
  await page.getByText("Java", { exact: true }).click();
  await page.getByText("keytool -importcert").waitFor();
  await look(page, "authority");
  await go(page, "Doctor");
  await page.getByRole("rowheader", { name: "upstream roots" }).waitFor();
  await look(page, "doctor");
  await go(page, "Live events");
  await page.getByText("Following").waitFor();
  assert.equal(await ask("a refused sign-in"), "done");
  await page.locator("#live tbody tr", { hasText: "evil.example" }).first().waitFor();
  await look(page, "live");
  await exported(page);
  await people(page);
  await go(page, "Trail");
  await page.getByRole("cell", { name: "user viola added as viewer" }).waitFor();
  await look(page, "trail");
  await go(page, "Account");
  await look(page, "account");
  await page.goto(`${address}/nowhere`);
  await page.getByRole("heading", { name: "Not Found" }).waitFor();
  await keyboard(page);
}

// One export that is up to date, and one whose receiver is away.
async function exported(page) {
  await go(page, "Exports");
  const row = (name) => page.getByRole("row").filter({ has: page.getByRole("rowheader", { name, exact: true }) });
  await row("lines").getByText("up to date").waitFor();
  await row("away").getByText("failing").waitFor();
  await row("away").getByText(/refused/).waitFor();
  await row("away").getByRole("cell", { name: "none", exact: true }).waitFor();
  await row("away").getByText(/, since/).waitFor();
  await look(page, "exports");
}

async function people(page) {
  await go(page, "Users and tokens");
  await page.getByLabel("Name", { exact: true }).fill("viola");
  await page.getByLabel("Password", { exact: true }).fill("a password for viola");
  await page.getByRole("button", { name: "Add user" }).click();
  await page.getByRole("status").getByText("user viola added as viewer").waitFor();
  await page.getByLabel("For", { exact: true }).fill("monitoring");
  await page.getByRole("button", { name: "Make token" }).click();
  const token = await page.locator("#new-token").textContent();
  const nodes = await fetch(`${address}/api/v1/nodes`, { headers: { Authorization: `Bearer ${token}` } });
  assert.equal(nodes.status, 200);
  await look(page, "people");
  await page.getByRole("button", { name: /^Revoke token/ }).click();
  await page.getByRole("status").getByText("revoked").waitFor();
  const refused = await fetch(`${address}/api/v1/nodes`, { headers: { Authorization: `Bearer ${token}` } });
  assert.equal(refused.status, 401);
}

// The way by keyboard alone: the skip link leads past the way around, and every link of it can be reached.
async function keyboard(page) {
  await page.goto(`${address}/catalogue`);
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to content");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "content");
}

// One who may only look is shown neither what it may not do nor who somebody is.
async function viewer(browser) {
  const page = await (await browser.newContext()).newPage();
  watch(page);
  await page.goto(address);
  await signIn(page, "viola", "a password for viola");
  await page.getByRole("heading", { name: "Overview" }).waitFor();
  for (const name of ["Trail", "Users and tokens"]) assert.equal(await page.getByRole("link", { name }).count(), 0, name);
  await go(page, "Policy");
  assert.equal(await page.getByRole("button", { name: "Review the change" }).count(), 0);
  await go(page, "Report");
  assert.equal(await page.getByLabel("User", { exact: true }).count(), 1, "only the column's box is called User");
  await page.goto(`${address}/trail`);
  await page.getByRole("heading", { name: "Forbidden" }).waitFor();
}

launch(program, async (browser) => {
  const page = await (await browser.newContext({ acceptDownloads: true })).newPage();
  page.setDefaultTimeout(20_000);
  watch(page);
  await { chain, pages }[part](page);
  if (part === "pages") await viewer(browser);
  assert.equal(complaints.length, 0, complaints.join("\n\n"));
});
