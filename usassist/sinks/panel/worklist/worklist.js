// The list in the browser. It is asked for every two seconds; a row is made again only where it says something else.

const WORDS = @WORDS@; // language → key → text; what stands in braces is filled in
const GROUPS = ["suspicious", "not_scored", "queue", "read"];
const SIGNS = { arriving: "⇣", waiting: "…", scoring: "◐", suspicious: "▲", unflagged: "○", failed: "?", gone: "∅", read: "✓" };
const PERIOD_MS = 2000;
const SILENT_MS = 8000; // without an answer of the page's own server
const KEY = "usassist.settings";

const at = (id) => document.getElementById(id);
const kept = { language: "", theme: "dark" };
try { Object.assign(kept, JSON.parse(localStorage.getItem(KEY) ?? "{}")); } catch { /* the defaults hold */ }
function keep(name, value) {
  kept[name] = value;
  try { localStorage.setItem(KEY, JSON.stringify(kept)); } catch { /* until the page is left */ }
}
let language = kept.language in WORDS ? kept.language : (navigator.languages.map((code) => code.slice(0, 2)).find((code) => code in WORDS) ?? "en");
const W = (key, values = {}) => (WORDS[language][key] ?? WORDS.en[key] ?? key).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
const num = (value, digits) => value.toFixed(digits).replace(".", WORDS[language]["format.decimal"]);

const list = { told: null, rows: [], madeWith: null, got_ms: 0, answered_ms: performance.now(), revision: "", base_ms: 0 };
const open = new Set(); // studies whose details are shown
const made = new Map(); // study → { key, row, more }, where more has its details

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") node.className = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== ""));
  return node;
}

const clock = (utc) => new Date(utc).toLocaleTimeString(language, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
function duration(seconds) {
  const minutes = Math.floor(seconds / 60);
  if (minutes < 1) return W("time.below_minute");
  if (minutes < 60) return W("time.minutes", { minutes });
  if (minutes < 2880) return W("time.hours", { hours: Math.floor(minutes / 60), minutes: String(minutes % 60).padStart(2, "0") });
  return W("time.days", { days: Math.floor(minutes / 1440) });
}

// ---- A row -------------------------------------------------------------------------------------

function stateOf(row) {
  if (row.group === "read") return "read";
  return row.present || row.versions.length ? row.state : "gone";
}

function notes(row) {
  const newest = row.versions.at(-1);
  const found = [];
  if (newest?.state === "failed") found.push([W(`code.${newest.code}`), newest.code === "refused" || newest.code === "no_result" || newest.code === "failed" ? newest.reason : "", true]);
  if (row.group === "read" && newest) found.push([W(`state.${newest.state}`), "", false]);
  if (row.grown && row.group !== "read") found.push([row.versions.length > 1 ? W("note.grown", { version: row.versions.length }) : W("note.changed"), "", true]);
  if (row.group === "suspicious" && newest && newest.state !== "suspicious") found.push([W("note.was_suspicious"), "", true]);
  if (!row.present) found.push([W(row.versions.length ? "note.gone" : "note.gone_unscored"), "", true]);
  if (newest?.same_as) found.push([W("note.same_as", { study: newest.same_as }), "", false]);
  return found.map(([text, reason, loud]) => {
    const node = element("span", { class: loud ? "note is-loud" : "note" }, text);
    if (reason) node.append(" ", element("span", { lang: "en", style: "font-weight:400" }, reason));
    return node;
  });
}

function scoreBar(row) {
  if (row.score === null) return "";
  const percent = Math.round(row.score * 100);
  return element("div", { class: "bar", role: "img", "aria-label": `${W("column.score")} ${num(row.score, 2)}` },
    element("span", {}, element("i", { style: `width:${percent}%` })), element("b", {}, num(row.score, 2)));
}

function makeRow(row) {
  const state = stateOf(row), pending = list.told.pending[row.study];
  const isRead = row.group === "read";
  const asked = pending !== undefined && pending !== isRead;
  const where = { type: "button", "aria-expanded": String(open.has(row.study)), onclick: () => toggle(row.study) };
  return element("tr", { "data-study": row.study, "data-state": state },
    element("td", { class: "c-place" }, String(row.place)),
    element("td", { class: "c-study" }, row.study),
    element("td", { class: "c-state" }, element("span", { class: "state", "data-state": state }, element("i", { "aria-hidden": "true" }, SIGNS[state]), W(`state.${state}`))),
    element("td", { class: "c-score" }, scoreBar(row)),
    element("td", { class: "c-waiting waiting" }),
    element("td", { class: "c-reason" }, ...notes(row)),
    element("td", { class: "c-do" },
      element("button", where, W(open.has(row.study) ? "button.less" : "button.more")),
      element("button", { type: "button", "aria-busy": String(asked), "data-do": "read", onclick: () => mark(row, !isRead) }, asked ? W("button.asked") : W(isRead ? "button.unread" : "button.read"))));
}

function makeMore(row) {
  const newest = row.versions.at(-1);
  const where = element("dd", {}, "…");
  const facts = element("dl", {});
  const add = (key, ...values) => facts.append(element("dt", {}, W(key)), element("dd", {}, ...values));
  add("more.arrived", `${new Date(row.arrived_utc).toLocaleString(language, { hourCycle: "h23" })} (${W("more.number", { number: row.arrival })})`);
  for (const version of row.versions) {
    const score = version.score === null ? "" : `, ${num(version.score, 2)}`;
    const took = version.scoring_s === null ? "" : `, ${W("more.took", { seconds: num(version.scoring_s, 1) })}`;
    add("more.version", `${version.version}: ${W(`state.${version.state}`)}${score}, ${clock(version.scored_utc)}${took}${version.engine ? `, ${version.engine}` : ""}`);
    if (version.reason) facts.append(element("dt", {}, ""), element("dd", { lang: "en" }, version.reason));
  }
  if (newest?.series) add("more.series", element("code", {}, newest.series));
  facts.append(element("dt", {}, W("more.where")), where);
  if (list.told.tells_where) {
    fetch(`where/${row.study}`).then((answer) => (answer.ok ? answer.text() : Promise.reject())).then(
      (text) => where.replaceChildren(element("code", {}, text)), () => where.replaceChildren(W("more.where_unknown")));
  } else where.replaceChildren(W("more.where_not_told"));
  const cell = element("td", { colspan: "7" }, facts);
  if (row.versions.some((version) => version.montage)) {
    const source = `montage/${row.study}`;
    cell.append(element("a", { href: source, target: "_blank", rel: "noopener" }, element("img", { src: source, alt: W("more.montage") })), element("p", { class: "soft" }, W("more.montage_help")));
  } else cell.append(element("p", { class: "soft" }, W("more.no_montage")));
  return element("tr", { class: "more" }, cell);
}

function toggle(study) {
  if (!open.delete(study)) open.add(study);
  draw();
  document.querySelector(`tr[data-study="${study}"] button`)?.focus();
}

async function mark(row, isRead) {
  list.told.pending[row.study] = isRead;
  draw();
  document.querySelector(`tr[data-study="${row.study}"] [data-do]`)?.focus();
  let problem = "";
  try {
    const body = JSON.stringify({ study: row.study, is_read: isRead, version: row.versions.length });
    const answer = await fetch("read", { method: "POST", headers: { "content-type": "application/json" }, body });
    if (!answer.ok) problem = await answer.text();
  } catch { problem = W("alarm.silent"); }
  if (!problem) return;
  delete list.told.pending[row.study];
  draw();
  at("said").textContent = "";
  alert(W("told.not_marked", { problem }));
}

// ---- The list ----------------------------------------------------------------------------------

const bodies = new Map();

function build() {
  bodies.clear();
  made.clear();
  const columns = ["place", "study", "state", "score", "waiting", "reason", "do"];
  at("list").replaceChildren(...GROUPS.map((group) => {
    const body = element("tbody", {});
    const head = element("thead", {}, element("tr", {}, ...columns.map((name) => element("th", { class: `c-${name}`, scope: "col" }, W(`column.${name}`)))));
    const count = element("span", {}), none = element("p", { class: "none" }, W("list.none"));
    const table = element("table", {}, head, body);
    const title = [W(`group.${group}`), " (", count, ")", element("small", {}, W(`group_help.${group}`))];
    bodies.set(group, { body, count, table, none });
    const section = element("section", { "data-group": group, "aria-label": W(`group.${group}`) });
    if (group === "read") section.append(element("details", {}, element("summary", {}, ...title), none, table));
    else section.append(element("h2", {}, ...title), none, table);
    return section;
  }));
  for (const node of document.querySelectorAll("[data-w]")) node.textContent = W(node.dataset.w);
  document.documentElement.lang = language;
}

function draw() {
  const told = list.told;
  if (!told) return;
  for (const group of GROUPS) {
    const { body, count, table, none } = bodies.get(group);
    const rows = list.rows.filter((row) => row.group === group);
    count.textContent = String(rows.length);
    table.hidden = !rows.length;
    none.hidden = rows.length > 0;
    const wanted = [];
    for (const row of rows) {
      const { waiting_s, ...said } = row;
      const key = JSON.stringify([said, told.pending[row.study], open.has(row.study)]);
      let entry = made.get(row.study);
      if (entry?.key !== key) {
        const before = entry;
        entry = { key, row: makeRow(row), more: open.has(row.study) ? makeMore(row) : null };
        before?.row.replaceWith(entry.row); // in its place, so that the rows after it stay where they are
        before?.more?.remove();
        made.set(row.study, entry);
      }
      wanted.push(entry.row);
      if (entry.more) wanted.push(entry.more);
    }
    wanted.forEach((node, index) => { if (body.children[index] !== node) body.insertBefore(node, body.children[index] ?? null); });
    while (body.children.length > wanted.length) body.lastElementChild.remove();
  }
  const left = Object.entries(list.left_out ?? {}).map(([kind, count]) => W(`left_out.${kind}`, { count }));
  at("left-out").textContent = left.length ? W("list.left_out", { what: left.join(", ") }) : "";
  at("made-with").textContent = W(list.threshold === null ? "list.engine_own" : "list.engine", { engine: list.engine, threshold: list.threshold === null ? "" : num(list.threshold, 2) });
  drawTimes();
}

function drawTimes() {
  const passed_s = (performance.now() - list.base_ms) / 1000;
  for (const row of list.rows) {
    const cell = made.get(row.study)?.row.querySelector(".waiting");
    if (!cell) continue;
    const text = duration(row.waiting_s + (row.group === "read" ? 0 : passed_s));
    if (cell.dataset.text === text) continue;
    cell.dataset.text = text;
    cell.replaceChildren(text, element("small", {}, W("row.since", { time: clock(row.arrived_utc) })));
  }
}

// ---- Whether it can be trusted -----------------------------------------------------------------

function judge() {
  const silent_ms = performance.now() - list.answered_ms;
  let alive = list.told?.alive ?? "loading", text = "";
  const age_s = (list.told?.age_s ?? 0) + (performance.now() - list.got_ms) / 1000;
  const age = age_s < 120 ? W("format.seconds", { value: Math.round(age_s) }) : duration(age_s);
  if (silent_ms > SILENT_MS) { alive = "silent"; text = W("alarm.silent"); }
  else if (alive === "stale") text = W("alarm.stale", { age });
  else if (alive === "ended") text = W("alarm.ended", { age });
  else if (alive === "unreadable") text = W("alarm.unreadable", { problem: list.told.problem });
  const isOld = !["live", "loading"].includes(alive);
  const badge = at("alive");
  badge.dataset.alive = alive;
  badge.textContent = `${isOld ? "⚠ " : alive === "live" ? "● " : ""}${W(`alive.${alive}`)}`;
  document.body.classList.toggle("is-old", isOld);
  if (at("alarm").hidden === isOld) at("alarm").hidden = !isOld;
  at("alarm-word").textContent = isOld ? `⚠ ${W(`alive.${alive}`)}` : "";
  at("alarm-text").textContent = text;
  at("problem").hidden = !list.problem;
  at("problem").textContent = list.problem ? `⚠ ${list.problem}` : "";
  const hot = list.rows.filter((row) => row.group === "suspicious").length;
  document.title = `${isOld ? `⚠ ${W(`alive.${alive}`)} – ` : hot ? `(${hot}) ` : ""}${W("title")}`;
}

async function fetchList() {
  try {
    const answer = await fetch(`list?seen=${list.revision}`, { cache: "no-store" });
    if (answer.status === 401) location.reload();
    return answer.ok ? await answer.json() : null;
  } catch { return null; } // judged by the time since the last answer
}

let asked = 0, taken = 0; // an answer that was overtaken by a newer one is old
async function ask() {
  const number = ++asked;
  const told = await fetchList();
  if (told && number > taken) {
    taken = number;
    take(told);
  }
  judge();
}

function take(told) {
  const before = JSON.stringify(list.told?.pending ?? {});
  list.answered_ms = list.got_ms = performance.now();
  list.told = told;
  if (told.list) {
    const known = new Set(list.rows.filter((row) => row.group === "suspicious").map((row) => row.study));
    const first = !list.revision;
    Object.assign(list, { rows: told.list.studies, left_out: told.list.left_out, engine: told.list.engine, threshold: told.list.threshold });
    Object.assign(list, { revision: told.revision, problem: told.list.heartbeat.problem, base_ms: performance.now() - told.age_s * 1000 });
    const hot = list.rows.filter((row) => row.group === "suspicious" && !known.has(row.study));
    if (hot.length && !first) at("said").textContent = W("told.suspicious", { studies: hot.map((row) => row.study).join(", ") });
    draw();
  } else if (JSON.stringify(told.pending) !== before) draw();
  else drawTimes();
}

async function run() {
  for (;;) {
    await ask();
    await new Promise((done) => setTimeout(done, PERIOD_MS));
  }
}

function applyTheme() { document.body.classList.toggle("dark", kept.theme !== "light"); }
for (const code of Object.keys(WORDS)) at("language").append(element("option", { value: code }, WORDS[code]["language.name"]));
at("language").value = language;
at("language").addEventListener("change", () => { language = at("language").value; keep("language", language); build(); draw(); judge(); });
at("theme").addEventListener("click", () => { keep("theme", kept.theme === "light" ? "dark" : "light"); applyTheme(); });
applyTheme();
build();
judge();
setInterval(judge, 1000);
document.addEventListener("visibilitychange", () => { if (!document.hidden) ask(); });
run();
