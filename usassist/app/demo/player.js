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
