// The live page. One rule above all: what is drawn belongs to the frame under it, or is not drawn.

const STATE_COLORS = @STATE_COLORS@;
const SIGNS = { finding: "", no_finding: "", no_result: "×", stale: "!" }; // the first two are drawn in CSS
const QUIET_MS = 500; // the server sends at least every 250 ms, also without frames
const LATE_MS = 400; // a packet that left the server longer ago than this is not live
const TEXT_MS = 250; // numbers that change with every frame cannot be read
const RETRY_MIN_MS = 250;
const RETRY_MAX_MS = 4000;

const root = element.querySelector(".us");
const at = (name) => root.querySelector(`[data-at="${name}"]`);
const canvas = at("canvas");
const options = { outline: true, box: false };

let current = null; // {head, bitmap, received}: the newest packet whose image is decoded
let frozen = null; // the same, as it was when the user froze it
let pending = null; // the newest packet, while another is being decoded
let decoding = false;
let lastPacket = performance.now();
let everConnected = false;
let connected = false;
let rejected = ""; // why the server closed the connection to this page, where it gave a reason
let delay = 0; // delay of the last packet over the fastest recent one, ms
let shownTimes = [];
let textDue = 0;
let shownState = "";
const counts = { frames: 0, dropped: 0 };

// ---- State ---------------------------------------------------------------------------------------------------

const blank = (detail, live = false) => ({ state: "no_result", headline: "NO RESULT", detail, draw: false, live });

// The server decides the state of a frame; the page can only be stricter, about delays that the server cannot see.
function viewNow(now) {
  const quiet = now - lastPacket;
  if (quiet > QUIET_MS) {
    const time = `${(quiet / 1000).toFixed(1)} s`;
    if (rejected) return blank(rejected);
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
  drawScene(canvas, shown?.bitmap ?? null, view.draw && shown ? shown.head.nodules : [], { ...options, selected: selectedRow() });
  writeFrame(shown, now);
  writePlane(shown);
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
  root.dataset.frame = view.live ? "live" : "old";
  root.style.setProperty("--state", rgb(STATE_COLORS[live.state]));
  root.classList.toggle("is-frozen", frozen !== null);
  set("sign", frozen ? "‖" : SIGNS[live.state]);
  set("word", frozen ? "FROZEN BY USER" : live.headline);
  set("why", frozen ? `frame ${frozen.head.frame_id}, ${((now - frozen.at) / 1000).toFixed(0)} s ago` : live.detail);
  set("live", `live now: ${live.headline}`);
  set("veil-word", view.headline);
  set("veil-why", view.detail);
}

// Written with every frame, so that it is always the number of the frame on the canvas. The other texts are written
// a few times a second, so that they can be read.
function writeFrame(shown, now) {
  const head = shown?.head;
  const aged = head && head.age_ms !== null && frozen === null && now - lastPacket <= QUIET_MS;
  set("frame", head && head.frame_id !== null ? `${head.frame_id}` : "–");
  set("age", aged ? number(head.age_ms + delay + (now - shown.received), " ms") : "–");
}
