// The live page. One rule above all: what is drawn belongs to the picture under it, or is not drawn.

const STATE_COLORS = @STATE_COLORS@;
const MARKS = { finding: "", no_finding: "", no_result: "×", stale: "!" }; // the first two are drawn by the style
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
  set("mark", frozen ? "‖" : MARKS[live.state]);
  set("word", frozen ? "FROZEN BY USER" : live.headline);
  set("why", frozen ? `frame ${frozen.head.frame_id}, ${((now - frozen.at) / 1000).toFixed(0)} s ago` : live.detail);
  set("live", `live now: ${live.headline}`);
  set("veil-word", view.headline);
  set("veil-why", view.detail);
}

function writeNodules(head, view, shown) {
  const nodules = head ? head.nodules : [];
  set("table-frame", shown && shown.head.frame_id !== null ? `frame ${shown.head.frame_id}` : "");
  const rows = nodules.flatMap((nodule, index) => {
    const row = document.createElement("tr");
    const cells = [numberOf(nodule, index), nodule.label, scoreText(nodule), sizeText(nodule)];
    cells.forEach((text, column) => {
      const cell = row.insertCell();
      if (column === 0) {
        const swatch = document.createElement("i");
        swatch.style.background = rgb(nodule.color_rgb);
        cell.append(swatch);
      }
      cell.append(text);
      if (column > 1) cell.className = "num";
      if (column === 3) {
        const note = document.createElement("small");
        note.textContent = certaintyText(nodule);
        note.classList.toggle("is-warning", nodule.major_mm === null);
        cell.append(note);
      }
    });
    return nodule.descriptors.length ? [row, descriptorRow(nodule)] : [row];
  });
  at("rows").replaceChildren(...rows);
  const calibrated = nodules.some((nodule) => nodule.major_mm !== null);
  const notes = { no_finding: "The engine found nothing in this frame.", finding: calibrated ? "± gives the 95 % interval." : "" };
  set("table-note", notes[view.state] ?? `${view.headline}: nothing is listed.`);
  // How good an estimate is, is the same for all nodules, so it stands once below them.
  const said = nodules.flatMap((nodule) => nodule.descriptors).map((item) => `${item.name}, ${agreementText(item)}`);
  set("descriptor-note", [...new Set(said)].join("; "));
}

function descriptorRow(nodule) {
  const row = document.createElement("tr");
  row.className = "us-described";
  const cell = row.insertCell();
  cell.colSpan = 4;
  for (const descriptor of nodule.descriptors) {
    const line = document.createElement("small");
    line.textContent = descriptorText(descriptor);
    line.title = agreementText(descriptor);
    cell.append(line);
  }
  return row;
}

const number = (value, unit, digits = 0) => (value === null || value === undefined ? "–" : `${value.toFixed(digits)}${unit}`);

// Written with every picture, so that it is always the number of the picture on the canvas. Everything else is
// written a few times a second, so that it can be read.
function writeFrame(shown, now) {
  const head = shown?.head;
  const aged = head && head.age_ms !== null && frozen === null && now - lastPacket <= QUIET_MS;
  set("frame", head && head.frame_id !== null ? `${head.frame_id}` : "–");
  set("age", aged ? number(head.age_ms + delay + (now - shown.received), " ms") : "–");
}

function writeStream(live, now) {
  const head = current?.head;
  set("fps", `${fps(now).toFixed(1)} frames/s`);
  if (!head) return;
  const health = head.counters.health;
  set("source", head.source);
  set("engine", head.engine_id || "–");
  set("backend", head.backend || "–");
  set("engine-note", head.engine_note);
  set("point", head.point || "–");
  set("use", head.intended_use || "–");
  set("session", head.session_id ?? "–");
  at("stream").classList.toggle("us-old", !live.live);
  set("stream-note", live.live ? "" : "last known");
  set("rate", number(health?.rate_hz, " frames/s", 1));
  set("latency", `${number(health?.latency_p50_ms, "")} / ${number(health?.latency_p95_ms, " ms")}`);
  set("frames", health ? `${health.frames} / ${health.answered}` : "–");
  set("dropped", number(health?.dropped, ""));
  set("shown", `${head.counters.shown} / ${head.counters.skipped}`);
  const causes = Object.entries(head.counters.by_cause);
  if (head.counters.malformed) causes.push(["unreadable messages", head.counters.malformed]);
  at("causes-title").hidden = causes.length === 0;
  at("causes").replaceChildren(
    ...causes.map(([cause, count]) => {
      const line = document.createElement("div");
      const name = document.createElement("dt");
      const value = document.createElement("dd");
      name.textContent = cause.replaceAll("_", " ");
      value.textContent = count;
      line.append(name, value);
      return line;
    }),
  );
  set("error", health?.last_error ?? "");
}

function fps(now) {
  shownTimes = shownTimes.filter((time) => now - time <= 2000);
  return shownTimes.length / 2;
}

// ---- Packets -------------------------------------------------------------------------------------------------

function receive(data) {
  const now = performance.now();
  const length = new DataView(data).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
  delay = delayOf(head.t_ms, now);
  lastPacket = now;
  const packet = { head, jpeg: new Uint8Array(data, 4 + length), received: now };
  if (pending !== null && !samePicture(pending.head, head)) counts.dropped += 1;
  pending = packet;
  decodeNext();
}

const samePicture = (a, b) => a.session_id === b.session_id && a.frame_id === b.frame_id;

async function decodeNext() {
  if (decoding || pending === null) return;
  const packet = pending;
  pending = null;
  decoding = true;
  try {
    if (current !== null && current.bitmap !== null && samePicture(current.head, packet.head)) {
      packet.bitmap = current.bitmap; // said again, with newer words
    } else {
      packet.bitmap = packet.jpeg.length ? await createImageBitmap(new Blob([packet.jpeg], { type: "image/jpeg" })) : null;
      if (packet.bitmap !== null) {
        counts.frames += 1;
        shownTimes.push(performance.now());
      }
      release(current);
    }
    delete packet.jpeg;
    current = packet;
  } catch (error) {
    release(current);
    current = { ...packet, bitmap: null, head: { ...packet.head, ...blank("the picture could not be decoded"), nodules: [] } };
  } finally {
    decoding = false;
  }
  render();
  decodeNext();
}

function release(scene) {
  if (scene?.bitmap && scene.bitmap !== frozen?.bitmap) scene.bitmap.close();
}

// ---- Connection ----------------------------------------------------------------------------------------------

let retryMs = RETRY_MIN_MS;
function connect() {
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/live`);
  socket.binaryType = "arraybuffer";
  socket.onmessage = (event) => {
    socket.send("got"); // the server keeps only a few unconfirmed packets under way, so that none grows old
    connected = everConnected = true;
    retryMs = RETRY_MIN_MS;
    receive(event.data);
  };
  socket.onclose = () => {
    connected = false;
    render();
    setTimeout(connect, retryMs);
    retryMs = Math.min(retryMs * 2, RETRY_MAX_MS);
  };
}

// ---- Controls ------------------------------------------------------------------------------------------------

function press(name) {
  if (name === "freeze") {
    if (frozen !== null) {
      const old = frozen;
      frozen = null;
      if (old.bitmap !== current?.bitmap) release(old);
    } else if (current !== null && current.bitmap !== null) {
      const view = viewNow(performance.now());
      frozen = { ...current, view: { ...view }, at: performance.now() };
    }
    at("freeze").textContent = frozen ? "Unfreeze" : "Freeze";
  } else {
    options[name] = !options[name];
  }
  at(name).setAttribute("aria-pressed", String(name === "freeze" ? frozen !== null : options[name]));
  textDue = 0;
  render();
}

for (const name of ["outline", "box", "freeze"]) at(name).addEventListener("click", () => press(name));
document.addEventListener("keydown", (event) => {
  const name = { o: "outline", b: "box", f: "freeze" }[event.key.toLowerCase()];
  if (name && !event.ctrlKey && !event.metaKey && !event.altKey && !event.repeat) press(name);
});

new ResizeObserver(() => {
  const unit = window.devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(canvas.clientWidth * unit));
  canvas.height = Math.max(1, Math.round(canvas.clientHeight * unit));
  render();
}).observe(at("stage"));

// The watch: when nothing comes, nothing else would take the outlines away.
setInterval(() => {
  if (performance.now() - lastPacket > 100) render();
}, 100);
document.addEventListener("visibilitychange", () => render());

window.usassist = {
  get fps() { return fps(performance.now()); },
  get frames() { return counts.frames; },
  get dropped() { return counts.dropped; },
  get lastFrameId() { return current?.head.frame_id ?? null; },
  get sessionId() { return current?.head.session_id ?? null; },
  get state() { return viewNow(performance.now()).state; },
  get frozen() { return frozen !== null; },
};
connect();
