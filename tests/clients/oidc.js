// Signing in by an OpenID provider in Chromium: as users do it, and as those do who lead users astray.
//
// Arguments: CHROMIUM FOLDER ADDRESS. Screenshots go to FOLDER. A line on standard output asks the test for something; it
// answers with a line.
"use strict";

const assert = require("node:assert/strict");
const { ask, complaints, go, launch, look, watch } = require("./browser.js");

const [program, folder, address] = process.argv.slice(2);
const CALLBACK = "/sign-in/oidc/callback";

async function fresh(browser) {
  const page = await (await browser.newContext()).newPage();
  page.setDefaultTimeout(20_000);
  watch(page);
  return page;
}

// At the provider: its own login form, then its question whether the appliance may know.
async function identify(page, name) {
  await page.getByPlaceholder("Enter any login").fill(name);
  await page.getByPlaceholder("and password").fill("whatever");
  await page.getByRole("button", { name: "Sign-in" }).click();
  await page.getByRole("button", { name: "Continue" }).waitFor();
}

async function login(page, name) {
  await identify(page, name);
  await page.getByRole("button", { name: "Continue" }).click();
}

async function refused(page, words) {
  await page.getByRole("heading", { name: "Not signed in" }).waitFor();
  await page.getByRole("alert").getByText(words).waitFor();
  const { status } = await page.request.get(`${address}/api/v1/session`).then((reply) => ({ status: reply.status() }));
  assert.equal(status, 401, "nobody is signed in");
}

async function signIn(page, name) {
  await page.goto(`${address}/report?status=denied`);
  await page.getByRole("link", { name: "Sign in with Contoso" }).click();
  await login(page, name);
  await page.getByRole("heading", { name: "Report", level: 1 }).waitFor();
}

// The answer of the provider as the browser gets it, kept from the appliance.
async function caught(browser, name) {
  const page = await fresh(browser);
  await page.goto(`${address}/sign-in`);
  await page.getByRole("link", { name: "Sign in with Contoso" }).click();
  await identify(page, name);
  const stay = { maxRedirects: 0 };
  const action = await page.locator("form").first().evaluate((form) => form.action);
  const agreed = await page.request.post(action, { ...stay, form: { prompt: "consent" } });
  const answer = await page.request.get(new URL(agreed.headers().location, action).href, stay);
  const url = answer.headers().location;
  assert.ok(url.startsWith(`${address}${CALLBACK}?code=`), url);
  return { page, url };
}

async function asMeant(browser) {
  const page = await fresh(browser);
  await page.goto(`${address}/sign-in`);
  await look(page, folder, "sign-in-oidc");
  const answers = [];
  page.on("request", (request) => request.url().includes(`${CALLBACK}?`) && answers.push(request.url()));
  await signIn(page, "alice.egress-operators");
  assert.ok(page.url().endsWith("/report?status=denied"), page.url());
  await page.getByText("oidc:alice.egress-operators").waitFor();
  await go(page, "Policy");
  await page.getByRole("button", { name: "Review the change" }).waitFor();
  await go(page, "Account");
  assert.equal(await page.getByText("Change the password").count(), 0);
  // Once more with the same answer, here and elsewhere.
  assert.equal(answers.length, 1);
  await page.goto(answers[0]);
  await page.getByRole("alert").getByText("not begun in this browser").waitFor();
  const other = await fresh(browser);
  await other.goto(answers[0]);
  await refused(other, "not begun in this browser");
  // The provider remembers who one is.
  await page.goto(address);
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("link", { name: "Sign in with Contoso" }).click();
  await page.getByRole("heading", { name: "Overview", level: 1 }).waitFor();
  return page;
}

async function strangers(browser) {
  const page = await fresh(browser);
  await page.goto(`${address}/sign-in`);
  await page.getByRole("link", { name: "Sign in with Contoso" }).click();
  await login(page, "mallory.staff");
  await refused(page, "gives you no role");
  await look(page, folder, "sign-in-refused");
  await page.getByRole("link", { name: "Back to signing in" }).click();
  // One who says no at the provider.
  await page.getByRole("link", { name: "Sign in with Contoso" }).waitFor();
}

async function astray(browser) {
  // Login CSRF: the attacker has the victim's browser take the attacker's answer.
  const attacker = await caught(browser, "eve.egress-admins");
  const victim = await caught(browser, "bob.egress-viewers");
  const bystander = await fresh(browser);
  await bystander.goto(attacker.url);
  await refused(bystander, "not begun in this browser");
  // The attacker's code under the victim's state: the provider gave it for another verifier.
  const [evil, good] = [new URL(attacker.url), new URL(victim.url)];
  evil.searchParams.set("state", good.searchParams.get("state"));
  await victim.page.goto(evil.href);
  await refused(victim.page, "does not honour");
  // Mix-up: the answer says that another provider gave it.
  const mixed = await caught(browser, "bob.egress-viewers");
  const other = new URL(mixed.url);
  assert.ok(other.searchParams.get("iss"), "the provider names itself");
  other.searchParams.set("iss", "https://evil.example");
  await mixed.page.goto(other.href);
  await refused(mixed.page, "not from the OpenID provider that was asked");
  // What was caught on the way is good in its own browser, and leads to no other site.
  await attacker.page.goto(attacker.url);
  await attacker.page.getByRole("heading", { name: "Overview", level: 1 }).waitFor();
  assert.ok(attacker.page.url().startsWith(`${address}/`), attacker.page.url());
}

async function later(page, browser) {
  assert.equal(await ask("another key"), "done");
  await signIn(await fresh(browser), "carol.egress-viewers");
  for (const time of ["+25m", "+50m"]) {
    assert.equal(await ask(time), "done");
    await page.goto(`${address}/report`);
    await page.getByRole("heading", { name: "Report", level: 1 }).waitFor();
  }
  // Used all the time, and over after the hour that the configuration gives it.
  assert.equal(await ask("+61m"), "done");
  await page.goto(`${address}/report`);
  await page.getByRole("link", { name: "Sign in with Contoso" }).waitFor();
}

launch(program, async (browser) => {
  const page = await asMeant(browser);
  await strangers(browser);
  await astray(browser);
  await later(page, browser);
  // The provider's pages ask for fonts of the Internet.
  const ours = complaints.filter((complaint) => !complaint.startsWith("http://localhost:"));
  assert.equal(ours.length, 0, ours.join("\n\n"));
});
