// The live page. One rule above all: what is drawn belongs to the picture under it, or is not drawn.

const STATE_COLORS = @STATE_COLORS@;
const SIGNS = { finding: "", no_finding: "", no_result: "×", stale: "!" }; // the first two are drawn by the style
const QUIET_MS = 500; // the server sends at least every 250 ms, whatever the stream does
const LATE_MS = 400; // what left the server longer ago than this is not live
const TEXT_MS = 250; // numbers that change with every frame cannot be read
const RETRY_MIN_MS = 250;
const RETRY_MAX_MS = 4000;

const root = element.querySelector(".us");
const at = (name) => root.querySelector(`[data-at="${name}"]`);
const canvas = at("canvas");
const options = { outline: true, box: false };

let current = null; // {head, bitmap, received}: the newest packet whose picture is decoded
let frozen = null; // the same, as it was when the user froze it
let pending = null; // the newest packet, while another is being decoded
let decoding = false;
let lastPacket = performance.now();
let everConnected = false;
let connected = false;
let sentAway = ""; // why the server does not want this page, where it has said so
let delay = 0; // how much longer the last packet took than the quickest of late, ms
let shownTimes = [];
let textDue = 0;
let shownState = "";
const counts = { frames: 0, dropped: 0 };

// ---- What to say ---------------------------------------------------------------------------------------------

const blank = (detail, live = false) => ({ state: "no_result", headline: "NO RESULT", detail, draw: false, live });

// The server decides what a frame's state is; the page can only be stricter, about what the server cannot see.
function viewNow(now) {
  const quiet = now - lastPacket;
  if (quiet > QUIET_MS) {
    const time = `${(quiet / 1000).toFixed(1)} s`;
    if (sentAway) return blank(sentAway);
    if (!connected) return blank(everConnected ? `no connection to the stream for ${time}` : "connecting to the stream");
    return blank(`no packet from the stream for ${time}`);
  }
  if (current === null) return blank("connecting to the stream");
  const head = current.head;
  const late = delay + now - current.received;
  if ((head.state === "finding" || head.state === "no_finding") && head.age_ms !== null && late > LATE_MS) {
    const detail = `this page is ${late.toFixed(0)} ms behind the stream`;
    return { state: "stale", headline: "STALE", detail, draw: false, live: true };
  }
  return head;
}

// Both clocks run evenly but from different starts, so only differences count: the quickest packet of the last
// 30 to 60 s stands for no delay.
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
  drawScene(canvas, shown?.bitmap ?? null, view.draw && shown ? shown.head.nodules : [], options);
  writeFrame(shown, now);
  const state = `${live.state} ${live.headline} ${view.state} ${view.live} ${frozen !== null}`;
  if (state !== shownState || now >= textDue) {
    shownState = state;
    textDue = now + TEXT_MS;
    writeState(live, view, now);
    writeNodules(view.draw && shown ? shown.head : null, view, shown);
    writeStream(live, now);
    writeRecording(now - lastPacket <= QUIET_MS);
  }
}

function set(name, text) {
  const node = at(name);
  if (node.textContent !== text) node.textContent = text;
}

function writeState(live, view, now) {
  root.dataset.state = live.state;
  root.dataset.shown = view.state;
  root.dataset.picture = view.live ? "live" : "old";
  root.style.setProperty("--state", rgb(STATE_COLORS[live.state]));
  root.classList.toggle("is-frozen", frozen !== null);
  set("sign", frozen ? "‖" : SIGNS[live.state]);
  set("word", frozen ? "FROZEN BY USER" : live.headline);
  set("why", frozen ? `frame ${frozen.head.frame_id}, ${((now - frozen.at) / 1000).toFixed(0)} s ago` : live.detail);
  set("live", `live now: ${live.headline}`);
  set("veil-word", view.headline);
  set("veil-why", view.detail);
}

// Written with every picture, so that it is always the number of the picture on the canvas. Everything else is
// written a few times a second, so that it can be read.
function writeFrame(shown, now) {
  const head = shown?.head;
  const aged = head && head.age_ms !== null && frozen === null && now - lastPacket <= QUIET_MS;
  set("frame", head && head.frame_id !== null ? `${head.frame_id}` : "–");
  set("age", aged ? number(head.age_ms + delay + (now - shown.received), " ms") : "–");
}
