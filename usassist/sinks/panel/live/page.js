// The live page. One rule above all: what is shown, on the canvas and in the table, belongs to the frame on the canvas,
// or is not shown.

const STATE_COLORS = @STATE_COLORS@;
const SIGNS = { finding: "", no_finding: "", no_result: "×", stale: "!" }; // the first two are drawn in CSS
const QUIET_MS = 500; // the server sends at least every 250 ms, also without frames
const LATE_MS = 400; // a packet that left the server longer ago than this is not live
const TEXT_MS = 250; // numbers of the stream that change with every frame cannot be read
const VEIL_MS = 150; // words over the frame stand only in a state that lasts; banner and border have it at once

const root = element;
root.classList.add("us");
const ABSENT = document.createElement("span");
const found = {};
function at(name) {
  if (!found[name]?.isConnected) found[name] = document.querySelector(`:is(#usassist, #us-top) [data-at="${name}"]`);
  return found[name] ?? ABSENT;
}
const canvas = at("canvas");
const options = { outline: kept.outline, box: kept.box, calipers: kept.calipers };

let current = null; // {head, bitmap, received}: the newest packet whose image is decoded
let frozen = null; // the same, as it was when the user froze it
let pending = null; // the newest packet, while another is being decoded
let decoding = false;
let lastPacket = performance.now();
let everConnected = false;
let connected = false;
let rejected = ""; // why the server closed the connection to this page, where it gave a reason
let delay = 0; // delay of the last packet over the fastest recent one, ms
let textDue = 0;
let shownState = "";
let veilSince = null; // since when the frame must not be looked at
const counts = { frames: 0, dropped: 0 };

// ---- State ---------------------------------------------------------------------------------------------------

const blank = (detail, live = false) => ({ state: "no_result", word: "no_result", detail, draw: false, live });
const seconds = (ms) => (ms / 1000).toFixed(1);

// The server decides the state of a frame; the page can only be stricter, about delays that the server cannot see.
function viewNow(now) {
  const quiet = now - lastPacket;
  if (quiet > QUIET_MS) {
    if (rejected) return blank(rejected);
    const key = connected ? "no_packet" : everConnected ? "no_connection" : "connecting";
    return blank(fill(WORDS.en[`detail.${key}`], { time: seconds(quiet) }));
  }
  if (current === null) return blank(WORDS.en["detail.connecting"]);
  const head = current.head;
  const late = delay + now - current.received;
  if ((head.state === "finding" || head.state === "no_finding") && head.age_ms !== null && late > LATE_MS) {
    const detail = fill(WORDS.en["detail.behind"], { time: late.toFixed(0) });
    return { state: "stale", word: "stale", detail, draw: false, live: true };
  }
  return head;
}

function headlineOf(view) {
  if (view.word === "finding" && view.count !== 1) return W("state.findings", { count: view.count });
  const domain = view.domain ?? "";
  return W(`state.${view.word}`, { domain: WORDS[language][`domain.${domain.toLowerCase()}`] ?? domain.toUpperCase() });
}

// The clocks have different epochs, so only differences count: the fastest packet of the last 30 to 60 s is taken as
// zero delay.
const quickest = { now: Infinity, before: Infinity, turned: performance.now() };
function delayOf(sentMs, receivedMs) {
  if (receivedMs - quickest.turned > 30000) {
    Object.assign(quickest, { before: quickest.now, now: Infinity, turned: receivedMs });
  }
  const difference = receivedMs - sentMs;
  quickest.now = Math.min(quickest.now, difference);
  return difference - Math.min(quickest.now, quickest.before);
}

// ---- Drawing and texts ---------------------------------------------------------------------------------------

function render() {
  const now = performance.now();
  const live = viewNow(now);
  const shown = frozen ?? current;
  const view = frozen ? frozen.view : live;
  const nodules = view.draw && shown ? shown.head.nodules : [];
  const isAnswer = view.state === "finding" || view.state === "no_finding";
  const scale = isAnswer ? (shown?.head.scale ?? null) : null;
  drawScene(canvas, shown?.bitmap ?? null, nodules, { ...options, scale, line: kept.line, selected: selectedRow() });
  drawPoints();
  writeFrame(shown, now);
  writeNodules(nodules, view, shown);
  writePlane(shown);
  writeVeil(view, now);
  const state = `${live.state} ${headlineOf(live)} ${headlineOf(view)} ${view.live} ${frozen !== null} ${language}`;
  if (state !== shownState || now >= textDue) {
    shownState = state;
    textDue = now + TEXT_MS;
    writeState(live, view, now);
    writeStream(live, now);
    writeRecording(now - lastPacket <= QUIET_MS);
  }
}

function set(name, text) {
  const node = at(name);
  if (node.textContent !== text) node.textContent = text;
}

function setReason(name, text) {
  const reason = reasonWords(text);
  set(name, reason.text);
  if (at(name).lang !== reason.lang) at(name).lang = reason.lang;
}

function writeState(live, view, now) {
  root.dataset.state = live.state;
  root.dataset.frame = view.live ? "live" : "old";
  root.style.setProperty("--state", rgb(STATE_COLORS[live.state]));
  root.classList.toggle("is-frozen", frozen !== null);
  const headline = headlineOf(live);
  set("sign", frozen ? "‖" : SIGNS[live.state]);
  set("word", frozen ? W("state.held") : headline);
  if (frozen) set("why", W("detail.held", { headline: headlineOf(frozen.view), frame: frozen.head.frame_id, time: num((now - frozen.at) / 1000) }));
  else setReason("why", live.detail);
  set("live", W("detail.now", { headline }));
  const head = current?.head;
  const kinds = head?.replayed ? ["replay", head.kind === "simulated" ? "simulated" : ""] : [head?.kind ?? ""];
  set("kind", kinds.filter(Boolean).map((kind) => W(`kind.${kind}`)).join(" · "));
  at("kind").dataset.kind = kinds[0];
}

// Words stand over the frame only while it must not be looked at, and never longer: they come after a moment, with
// their own state, and are gone in the render that ends it.
function writeVeil(view, now) {
  const forbids = view.state === "no_result" || view.state === "stale";
  root.dataset.shown = view.state;
  if (!forbids) veilSince = null;
  else veilSince ??= now;
  const isWorded = forbids && now - veilSince >= VEIL_MS && !root.classList.contains("is-scaling");
  set("veil-word", isWorded ? headlineOf(view) : "");
  setReason("veil-why", isWorded ? view.detail : "");
}

// Written with every frame, so that it is always the number of the frame on the canvas.
function writeFrame(shown, now) {
  const head = shown?.head;
  const aged = head && head.age_ms !== null && frozen === null && now - lastPacket <= QUIET_MS;
  set("frame", head && head.frame_id !== null ? `${head.frame_id}` : "–");
  set("age", aged ? number(head.age_ms + delay + (now - shown.received), " ms") : "–");
  set("time", head && head.clip_s !== null ? `${Math.floor(head.clip_s / 60)}:${num(head.clip_s % 60, 1).padStart(4, "0")}` : "–");
}

// ---- Measured here: rate, and time from capture to the drawn canvas -----------------------------------------------

const STATS_KEPT = 600;
let drawn = []; // {at, latency_ms} of the last frames

// Without the least time that a packet takes from the server to this page, which nothing here can tell.
function countDrawn(packet) {
  const now = performance.now();
  counts.frames += 1;
  const { age_ms } = packet.head;
  drawn.push({ at: now, latency_ms: age_ms === null ? null : age_ms + packet.delay + (now - packet.received) });
  if (drawn.length > STATS_KEPT) drawn.shift();
}

const fps = (now) => drawn.filter((one) => now - one.at <= 2000).length / 2;

function stats() {
  const sorted = drawn.map((one) => one.latency_ms).filter((value) => value !== null).sort((a, b) => a - b);
  const share = (part) => (sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] : null);
  const span = drawn.length > 1 ? drawn.at(-1).at - drawn[0].at : 0;
  return {
    frames: counts.frames,
    dropped: counts.dropped,
    rate_hz: span > 0 ? ((drawn.length - 1) * 1000) / span : null,
    latency_p50_ms: share(0.5),
    latency_p95_ms: share(0.95),
    latency_p99_ms: share(0.99),
  };
}
