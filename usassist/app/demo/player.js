// The player: any frame of an answered clip with its own result. A packet holds a frame and its result together, so
// what is drawn always belongs to the picture under it.

const STATE_COLORS = @STATE_COLORS@;

// What the drawing of the live page (sizes.js, draw.js) takes from the page that it stands in.
const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, key) => values[key]);
let language = "en"; // code of the words below
const WORDS = { en: {} };
const W = (key, values = {}) => fill(WORDS[language][key] ?? key, values);
const num = (value, digits = 0) => value.toFixed(digits).replace(".", WORDS[language]["format.decimal"] ?? ".");
const zoom = { k: 1, x: 0.5, y: 0.5 };
let canvas = null; // that is drawn on
@DRAWING@
const AHEAD = 24; // packets that are fetched before they are needed, while playing
const AT_ONCE = 4; // requests under way
const KEPT = 90; // packets in memory, per answer

const root = element.querySelector(".ud");
const at = (name) => root.querySelector(`[data-at="${name}"]`);
const SIDES = ["left", "right"];
const SPEEDS = [0.25, 0.5, 1, 2];

let clip = null; // {words, about, simulated, answers: [{path, title, overview, packets: Map, asked: Set}]}
let index = 0; // the frame that is wanted
let shown = null; // {index, heads, bitmaps, places}: what is on the canvases
let playing = false;
let playedFrom = null; // {t_s, now}: of the moment from which time runs
let loading = 0; // which clip is being loaded; a later one replaces it
let drawing = false;

const set = (name, text) => {
  const node = at(name);
  if (node.textContent !== text) node.textContent = text;
};
const seconds = (value) => num(value, 2);
const frames = () => clip?.answers[0]?.overview.frames ?? [];

// ---- Fetching ------------------------------------------------------------------------------------------------

const address = (path) => new URL(path, document.baseURI.replace(/[?#].*$/, "").replace(/[^/]*$/, "")).href;

async function fetched(path) {
  const answer = await fetch(address(path), { cache: "no-store" });
  if (!answer.ok) throw new Error(answer.status === 404 ? "unreachable" : `HTTP ${answer.status}`);
  return answer;
}

function parse(data) {
  const length = new DataView(data).getUint32(0, true);
  return {
    head: JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length))),
    jpeg: new Blob([new Uint8Array(data, 4 + length)], { type: "image/jpeg" }),
  };
}

// A packet as a promise, asked for once; the oldest are let go.
function packet(answer, number) {
  const known = answer.packets.get(number);
  if (known !== undefined) return known;
  const made = fetched(`${answer.path}/${number}`)
    .then((reply) => reply.arrayBuffer())
    .then(parse)
    .then((found) => {
      if (found.head.index !== number) throw new Error("a packet of another frame came");
      answer.asked.delete(number);
      return found;
    });
  made.catch(() => {
    answer.asked.delete(number);
    answer.packets.delete(number);
  });
  answer.asked.add(number);
  answer.packets.set(number, made);
  for (const old of answer.packets.keys()) {
    if (answer.packets.size <= KEPT) break;
    if (Math.abs(old - index) > AHEAD && !answer.asked.has(old)) answer.packets.delete(old);
  }
  return made;
}

function readAhead() {
  for (const answer of clip.answers) {
    const last = Math.min(index + (playing ? AHEAD : 2), frames().length - 1);
    for (let number = index; number <= last && answer.asked.size < AT_ONCE; number += 1) {
      if (hasPixels(answer, number)) packet(answer, number).catch(() => {});
    }
  }
}

const hasPixels = (answer, number) => answer.overview.frames[number]?.span != null;

// ---- Showing a frame -----------------------------------------------------------------------------------------

const isPair = () => clip.answers.length > 1;
const showsTwo = () => isPair() || at("view").value === "both";

async function showWanted() {
  if (drawing || clip === null || !frames().length) return;
  drawing = true;
  try {
    while (shown?.index !== index || shown.clip !== clip) {
      const wanted = index, of = clip;
      const found = await Promise.all(
        of.answers.map((answer) => (hasPixels(answer, wanted) ? packet(answer, wanted) : Promise.resolve(null))),
      );
      const bitmaps = await Promise.all(found.map((item) => (item ? createImageBitmap(item.jpeg) : null)));
      if (of !== clip) continue;
      const ids = new Set(found.filter(Boolean).map((item) => item.head.frame_id));
      if (ids.size > 1) throw new Error("the answers are of different frames");
      shown?.bitmaps.forEach((bitmap) => bitmap?.close());
      shown = { clip: of, index: wanted, heads: found.map((item) => item?.head ?? null), bitmaps };
      set("problem", "");
      render();
      readAhead();
    }
  } catch (error) {
    pause();
    set("problem", error.message === "unreachable" ? clip.words["player.unreachable"] : error.message);
  } finally {
    drawing = false;
  }
}

// What stands on a side: which answer, and whether with its outlines.
function plan() {
  if (isPair()) return [{ answer: 0, outline: at("view").value !== "plain" }, { answer: 1, outline: at("view").value !== "plain" }];
  if (showsTwo()) return [{ answer: 0, outline: false }, { answer: 0, outline: true }];
  return [{ answer: 0, outline: at("view").value !== "plain" }];
}

function render() {
  const two = showsTwo();
  at("sides").classList.toggle("is-two", two);
  root.querySelector('[data-side="right"]').hidden = !two;
  const parts = plan();
  parts.forEach((part, side) => renderSide(SIDES[side], part));
  const line = frames()[shown.index];
  at("scrub").value = String(shown.index);
  at("scrub").setAttribute("aria-valuetext", fill(clip.words["player.frame"], { frame: line.frame_id }));
  set("place", fill(clip.words["player.place"], { number: shown.index + 1, count: frames().length }));
  set("frame", fill(clip.words["player.frame"], { frame: line.frame_id }));
  set("time", fill(clip.words["player.time"], { time: seconds(line.t_s), length: seconds(frames().at(-1).t_s) }));
  drawStrip();
}

function renderSide(side, part) {
  const figure = root.querySelector(`[data-side="${side}"]`);
  canvas = at(side);
  const head = shown.heads[part.answer], bitmap = shown.bitmaps[part.answer];
  const state = head?.state ?? "no_result";
  figure.dataset.state = state;
  figure.style.setProperty("--state", rgb(STATE_COLORS[state]));
  figure.dataset.frame = head ? String(head.frame_id) : "";
  const name = isPair() ? `${"AB"[part.answer]}: ${clip.answers[part.answer].title}`
    : showsTwo() ? clip.words[part.outline ? "player.with" : "player.picture"] : clip.answers[0].title;
  set(`${side}-name`, name);
  const count = head?.nodules.length ?? 0;
  set(`${side}-state`, clip.words[`state.${state}`] + (count ? `: ${count}` : ""));
  set(`${side}-detail`, head === null ? clip.words["player.lost"] : head.detail);
  sizeCanvas(head?.image_hw_px);
  const nodules = head !== null && head.draw && part.outline ? head.nodules : [];
  drawScene(canvas, bitmap, nodules, {
    outline: true, box: false, calipers: true, line: 2, scale: head?.scale ?? null, selected: -1,
  });
  canvas.setAttribute("aria-label", `${name}, ${fill(clip.words["player.frame"], { frame: head?.frame_id ?? "–" })}`);
  listNodules(at(`${side}-nodules`), head !== null && head.draw && (part.outline || isPair()) ? head.nodules : []);
}

function listNodules(list, nodules) {
  const items = nodules.map((nodule, row) => {
    const item = document.createElement("li");
    const colour = document.createElement("b");
    colour.textContent = `${numberOf(nodule, row)} ${labelOf(nodule)} ${scoreText(nodule)} `;
    const size = document.createElement("small");
    const note = nodule.cut || !isInMm(nodule) ? `, ${certaintyText(nodule)}` : "";
    size.textContent = diametersOf(nodule).join(" × ") + note;
    item.append(colour, size);
    return item;
  });
  list.replaceChildren(...items);
}

// As high as the picture is in this width, and no higher than leaves room for the controls.
function sizeCanvas(imageHw) {
  const unit = window.devicePixelRatio || 1;
  if (imageHw) {
    const most = Math.max(260, 0.62 * window.innerHeight);
    canvas.style.height = `${Math.round(Math.min(most, (canvas.clientWidth * imageHw[0]) / imageHw[1]))}px`;
  }
  const width = Math.round(canvas.clientWidth * unit), height = Math.round(canvas.clientHeight * unit);
  if (width && height && (canvas.width !== width || canvas.height !== height)) Object.assign(canvas, { width, height });
}

// ---- The time line: a row per answer, each frame in the colour of its state, and its best score as height ------

function drawStrip() {
  const strip = at("strip"), unit = window.devicePixelRatio || 1;
  const width = Math.round(strip.clientWidth * unit), height = Math.round(44 * unit);
  if (!width) return;
  if (strip.width !== width || strip.height !== height) Object.assign(strip, { width, height });
  const context = strip.getContext("2d");
  context.fillStyle = "#12161b";
  context.fillRect(0, 0, width, height);
  const count = frames().length, row = height / clip.answers.length;
  clip.answers.forEach((answer, number) => {
    const base = (number + 1) * row - unit;
    answer.overview.frames.forEach((line, place) => {
      const x = (place / count) * width, w = Math.max(1, width / count);
      context.fillStyle = rgb(STATE_COLORS[line.state]);
      if (line.state === "finding") {
        const tall = Math.max(3 * unit, (row - 6 * unit) * (line.score ?? 0));
        context.fillRect(x, base - tall, w + 0.5, tall);
      } else {
        const tall = line.state === "no_finding" ? 3 * unit : row - 6 * unit;
        context.globalAlpha = line.state === "no_finding" ? 1 : place % 2 ? 0.9 : 0.55;
        context.fillRect(x, base - tall, w + 0.5, tall);
        context.globalAlpha = 1;
      }
    });
  });
  const x = ((shown.index + 0.5) / count) * width;
  context.fillStyle = "#fff";
  context.fillRect(x - unit, 0, 2 * unit, height);
}

// ---- Moving --------------------------------------------------------------------------------------------------

function go(number, keepPlaying = false) {
  if (!frames().length) return;
  if (!keepPlaying) pause();
  index = Math.max(0, Math.min(number, frames().length - 1));
  showWanted();
}

function pause() {
  playing = false;
  playedFrom = null;
  if (clip === null) return;
  at("play").textContent = "▶";
  at("play").setAttribute("aria-label", clip.words["player.play"]);
  at("play").title = clip.words["player.play"];
}

function play() {
  if (frames().length < 2) return;
  if (index >= frames().length - 1) index = 0;
  playing = true;
  playedFrom = null;
  at("play").textContent = "❚❚";
  at("play").setAttribute("aria-label", clip.words["player.pause"]);
  at("play").title = clip.words["player.pause"];
  requestAnimationFrame(tick);
}

// Time runs only while frames come: where one has not arrived, the clip waits for it.
function tick(now) {
  if (!playing || !root.isConnected) return;
  requestAnimationFrame(tick);
  if (shown?.index !== index || shown.clip !== clip) {
    playedFrom = null;
    showWanted();
    return;
  }
  const lines = frames(), speed = Number(at("speed").value);
  playedFrom ??= { t_s: lines[index].t_s, now, speed };
  if (playedFrom.speed !== speed) playedFrom = { t_s: lines[index].t_s, now, speed }; // it was changed meanwhile
  const t_s = playedFrom.t_s + ((now - playedFrom.now) / 1000) * speed;
  let next = index;
  while (next + 1 < lines.length && lines[next + 1].t_s <= t_s) next += 1;
  if (next !== index) {
    index = next;
    showWanted();
    if (index >= lines.length - 1) pause();
  }
}

function changeSpeed(by) {
  const now = SPEEDS.indexOf(Number(at("speed").value));
  at("speed").value = String(SPEEDS[Math.max(0, Math.min(now + by, SPEEDS.length - 1))]);
}

// ---- Controls ------------------------------------------------------------------------------------------------

at("play").addEventListener("click", () => (playing ? pause() : play()));
at("start").addEventListener("click", () => go(0));
at("back").addEventListener("click", () => go(index - 1));
at("forward").addEventListener("click", () => go(index + 1));
at("scrub").addEventListener("input", () => go(Number(at("scrub").value)));
at("view").addEventListener("change", () => shown && render());
at("strip").addEventListener("click", (event) => {
  const box = at("strip").getBoundingClientRect();
  go(Math.floor(((event.clientX - box.left) / box.width) * frames().length));
});

const KEYS = {
  " ": () => (playing ? pause() : play()),
  ArrowLeft: (event) => go(index - (event.shiftKey ? 10 : 1)),
  ArrowRight: (event) => go(index + (event.shiftKey ? 10 : 1)),
  Home: () => go(0),
  End: () => go(frames().length - 1),
  "+": () => changeSpeed(1),
  "-": () => changeSpeed(-1),
};

function onKey(event) {
  if (!root.isConnected) {
    document.removeEventListener("keydown", onKey);
    return;
  }
  if (event.ctrlKey || event.altKey || event.metaKey || !(event.key in KEYS) || root.offsetParent === null) return;
  const target = event.target;
  const inside = root.contains(target);
  const free = target === document.body || (inside && !["SELECT", "BUTTON"].includes(target.tagName));
  if (!free && !(inside && target.tagName === "BUTTON" && event.key !== " ")) return;
  event.preventDefault();
  KEYS[event.key](event);
}
document.addEventListener("keydown", onKey);

new ResizeObserver(() => shown && shown.clip === clip && render()).observe(root);

// ---- A clip from Gradio --------------------------------------------------------------------------------------

function sayWords() {
  const words = clip.words;
  const titles = { start: "player.start", back: "player.back", forward: "player.forward" };
  for (const [name, key] of Object.entries(titles)) {
    at(name).title = words[key];
    at(name).setAttribute("aria-label", words[key]);
  }
  set("speed-word", words["player.speed"]);
  set("view-word", words["player.view"]);
  set("keys", words["player.keys"]);
  at("scrub").setAttribute("aria-label", words["player.scrub"]);
  at("strip").setAttribute("aria-label", words["player.timeline"]);
  at("strip").title = words["player.timeline"];
  for (const option of at("view").options) option.textContent = words[`player.view_${option.value}`];
  set("simulated", words["player.simulated"]);
  at("simulated").title = words["player.simulated_why"];
}

async function load(value) {
  const turn = (loading += 1);
  const given = JSON.parse(value);
  const same = clip !== null && JSON.stringify(clip.paths) === JSON.stringify(given.answers.map((item) => item.path));
  try {
    const answers = same
      ? clip.answers.map((answer, number) => Object.assign(answer, given.answers[number]))
      : await Promise.all(
          given.answers.map(async (item) => ({
            ...item,
            overview: await (await fetched(`${item.path}/overview`)).json(),
            packets: new Map(),
            asked: new Set(),
          })),
        );
    if (turn !== loading) return;
    if (clip !== null) pause();
    language = given.language;
    WORDS[language] = given.words;
    clip = { ...given, paths: given.answers.map((item) => item.path), answers };
    sayWords();
    pause();
    at("simulated").hidden = !clip.simulated;
    set("about-short", clip.about.map((item) => item.short).join(" | "));
    set("about-long", [...new Set(clip.about.map((item) => item.long))].join(" | "));
    at("view").querySelector('[value="both"]').hidden = isPair();
    if (isPair() && at("view").value === "both") at("view").value = "outline";
    at("scrub").max = String(Math.max(0, frames().length - 1));
    root.dataset.state = frames().length ? "ready" : "none";
    if (!same) index = clip.first ?? 0;
    showWanted();
    if (same && shown) {
      shown.clip = clip;
      render();
    }
  } catch (error) {
    set("problem", error.message === "unreachable" ? given.words["player.unreachable"] : error.message);
  }
}

let lastValue = "", lastSeek = "";
function take() {
  if (props.value && props.value !== lastValue) {
    lastValue = props.value;
    load(props.value);
  }
  if (props.seek && props.seek !== lastSeek) {
    lastSeek = props.seek;
    go(Number(props.seek.split(":")[0]));
  }
}
watch(["value", "seek"], take);
take();

window.usassistDemo = {
  get shown() {
    if (shown === null || shown.clip !== clip) return null;
    return { index: shown.index, frames: shown.heads.map((head) => head?.frame_id ?? null), heads: shown.heads };
  },
  get count() {
    return frames().length;
  },
  get playing() {
    return playing;
  },
  place(side) {
    canvas = at(side);
    return fit(canvas, shown.bitmaps[plan()[SIDES.indexOf(side)].answer]);
  },
};
