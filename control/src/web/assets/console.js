// What pages need of script beside htmx: the editor's line numbers and marks, the chart, the live events.
// Every page works without it, but for the live events. Nothing here writes HTML: what comes from the network is set as text.
"use strict";

// The editor. Findings come from the server, by htmx or with the page; each names its line.
function editor() {
  const text = document.getElementById("text");
  const gutter = document.querySelector(".gutter");
  const findings = document.getElementById("findings");
  if (!text || !gutter || !findings) return;

  function mark() {
    const marks = new Map();
    for (const item of findings.querySelectorAll("[data-line]")) {
      const line = Number(item.dataset.line);
      if (marks.get(line) !== "bad") marks.set(line, item.dataset.kind);
    }
    const lines = text.value.split("\n").length;
    const numbers = document.createDocumentFragment();
    for (let line = 1; line <= lines; line += 1) {
      const number = document.createElement("span");
      number.textContent = String(line);
      if (marks.has(line)) number.className = marks.get(line);
      numbers.append(number);
    }
    gutter.replaceChildren(numbers);
    gutter.scrollTop = text.scrollTop;
  }

  function go(line, column) {
    const lines = text.value.split("\n");
    const before = lines.slice(0, line - 1).reduce((sum, one) => sum + one.length + 1, 0);
    const place = before + [...(lines[line - 1] || "")].slice(0, column - 1).join("").length;
    text.focus();
    text.setSelectionRange(place, place);
    text.scrollTop = Math.max(0, (text.scrollHeight / lines.length) * (line - 4));
  }

  text.addEventListener("input", mark);
  text.addEventListener("scroll", () => { gutter.scrollTop = text.scrollTop; });
  findings.addEventListener("htmx:afterSwap", mark);
  findings.addEventListener("click", (event) => {
    const place = event.target.closest(".place");
    if (!place) return;
    event.preventDefault();
    const item = place.closest("[data-line]");
    go(Number(item.dataset.line), Number(item.dataset.column));
  });
  mark();
}

// Refusals over time, in the page's colours.
function charts() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  for (const place of document.querySelectorAll("[data-chart]")) {
    const { times, denied, wouldDeny } = JSON.parse(place.dataset.chart);
    // As the tables have it: UTC, and hours to 24.
    const two = (number) => String(number).padStart(2, "0");
    const told = (time) => {
      const at = new Date(time * 1000);
      const day = `${two(at.getUTCMonth() + 1)}-${two(at.getUTCDate())}`;
      return at.getUTCHours() + at.getUTCMinutes() === 0 ? day : `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}`;
    };
    const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 } };
    const bars = uPlot.paths.bars({ size: [0.7, 40] });
    const series = (label, name) => ({ label, stroke: colour(name), fill: colour(name + "-soft"), paths: bars, points: { show: false } });
    const options = {
      width: place.clientWidth, height: 220,
      cursor: { y: false },
      scales: { y: { range: (_, __, most) => [0, Math.max(4, most * 1.1)] } },
      tzDate: (time) => uPlot.tzDate(new Date(time * 1000), "Etc/UTC"),
      axes: [{ ...axis, values: (_, times) => times.map(told) }, { ...axis, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000], size: 50 }],
      series: [{ label: "from", value: (_, time) => (time ? new Date(time * 1000).toISOString().slice(0, 16).replace("T", " ") : "") }, series("denied", "--bad"), series("would deny", "--warn")],
    };
    place.replaceChildren();
    // Nothing is drawn where there was nothing.
    const seen = (counts) => counts.map((count) => count || null);
    const chart = new uPlot(options, [times, seen(denied), seen(wouldDeny)], place);
    new ResizeObserver(() => chart.setSize({ width: place.clientWidth, height: 220 })).observe(place);
  }
}

// Live events: a row for each, newest first.
function live() {
  const table = document.getElementById("live");
  if (!table) return;
  const body = table.tBodies[0];
  const state = document.getElementById("live-state");
  const pause = document.getElementById("live-pause");
  const fields = ["time", "status", "source", "user", "connector", "sni", "target_tenant", "code"];
  const kinds = { allowed: "good", denied: "bad", would_deny: "warn" };
  const waiting = [];
  let paused = false;

  function show(event) {
    const row = body.insertRow(0);
    row.className = "new";
    for (const field of fields) {
      const cell = row.insertCell();
      const value = event[field] || "";
      if (field === "status") {
        const badge = document.createElement("span");
        badge.className = "badge " + (kinds[value] || "plain");
        badge.textContent = value.replace("_", " ");
        cell.append(badge);
      } else {
        cell.textContent = field === "time" ? value.slice(0, 19).replace("T", " ") : value;
      }
    }
    while (body.rows.length > 200) body.deleteRow(-1);
  }

  const source = new EventSource(table.dataset.stream);
  source.addEventListener("open", () => {
    state.textContent = "Following";
    // After a break the server begins with the newest again.
    body.replaceChildren();
  });
  source.addEventListener("error", () => { state.textContent = "Not connected; trying again"; });
  source.addEventListener("message", (message) => {
    const event = JSON.parse(message.data);
    if (!paused) show(event);
    else if (waiting.push(event) > 200) waiting.shift();
  });
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    pause.textContent = paused ? "Go on" : "Pause";
    if (!paused) waiting.splice(0).forEach(show);
  });
  window.addEventListener("pagehide", () => source.close());
}

document.addEventListener("DOMContentLoaded", () => {
  // On a phone the way around scrolls sideways: where one is should be seen.
  const here = document.querySelector(".side nav [aria-current]");
  if (here) here.parentElement.scrollLeft = here.offsetLeft - here.parentElement.clientWidth / 2;
  editor();
  charts();
  live();
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", charts);
});
