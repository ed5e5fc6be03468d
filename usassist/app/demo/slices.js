// The viewer of slices: a volume plane by plane, with outlines, a map of scores, and one row of scores of the planes.
// It knows nothing of what the volume shows. A packet holds a plane and what was found on it together, so what is
// drawn always belongs to the picture under it. Values are sent as they are (int16), so the window is set here.

const STATE_COLORS = @STATE_COLORS@;
const AT_ONCE = 3; // requests under way
const AHEAD = 8; // planes that are fetched before they are needed, in the direction of the last step
const BEHIND = 2;
const KEPT_BYTES = 96 * 2 ** 20; // of planes in memory

const root = element.querySelector(".us");
const at = (name) => root.querySelector(`[data-at="${name}"]`);
const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, key) => values[key]);

let study = null; // what was given, with `view` (the overview), `packets` and `asked`
let index = 0; // the plane that is wanted
let direction = 1; // of the last step
let shown = null; // {study, index, voxels, labels, heat}: what is on the canvas
let loading = 0; // which study is being loaded; a later one replaces it
let drawing = false;
let look = { width: 1, centre: 0, overlay: true, heat: false, opacity: 0.4 };
let zoom = { k: 1, x: 0, y: 0 }; // times, and pan in CSS px

const W = (key, values = {}) => fill(study?.words[key] ?? key, values);
const num = (value, digits = 0) => value.toFixed(digits).replace("-", "−").replace(".", W("format.decimal"));
const depth = () => study?.view.shape_zyx[0] ?? 0;
const clamp = (value, least, most) => Math.max(least, Math.min(value, most));
const set = (name, text) => {
  const node = at(name);
  if (node.textContent !== text) node.textContent = text;
};

// ---- Fetching ------------------------------------------------------------------------------------------------

const address = (path) => new URL(path, document.baseURI.replace(/[?#].*$/, "").replace(/[^/]*$/, "")).href;

async function fetched(path) {
  const answer = await fetch(address(path), { cache: "no-store" });
  if (!answer.ok) throw new Error(answer.status === 404 ? "unreachable" : `HTTP ${answer.status}`);
  return answer;
}

async function parse(data, of) {
  const length = new DataView(data).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
  const packed = new Blob([new Uint8Array(data, 4 + length)]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = await new Response(packed).arrayBuffer();
  const [, rows, columns] = of.view.shape_zyx;
  const area = rows * columns;
  if (bytes.byteLength !== area * (2 + head.labels + head.heat)) throw new Error("a plane is not complete");
  return {
    head,
    voxels: new Int16Array(bytes, 0, area), // every browser runs on little-endian machines
    labels: head.labels ? new Uint8Array(bytes, 2 * area, area) : null,
    heat: head.heat ? new Uint8Array(bytes, (2 + head.labels) * area, area) : null,
  };
}

// A plane as a promise, asked for once; those that are farthest away are let go.
function packet(of, number) {
  const known = of.packets.get(number);
  if (known !== undefined) return known;
  const made = fetched(`${of.path}/${number}`)
    .then((reply) => reply.arrayBuffer())
    .then((data) => parse(data, of))
    .then((found) => {
      if (found.head.index !== number) throw new Error("another plane came than was asked for");
      return found;
    })
    .finally(() => of.asked.delete(number));
  made.catch(() => of.packets.delete(number));
  of.asked.add(number);
  of.packets.set(number, made);
  const [, rows, columns] = of.view.shape_zyx;
  const kept = Math.max(AHEAD + BEHIND + 2, Math.floor(KEPT_BYTES / (rows * columns * 4)));
  while (of.packets.size > kept) {
    const free = [...of.packets.keys()].filter((old) => !of.asked.has(old) && old !== index);
    if (!free.length) break;
    of.packets.delete(free.reduce((far, old) => (Math.abs(old - index) > Math.abs(far - index) ? old : far)));
  }
  return made;
}

function readAhead() {
  const of = study;
  if (of === null) return;
  const wanted = [];
  for (let step = 1; step <= AHEAD; step += 1) wanted.push(index + direction * step);
  for (let step = 1; step <= BEHIND; step += 1) wanted.splice(3 * step - 2, 0, index - direction * step);
  for (const number of wanted) {
    if (of.asked.size >= AT_ONCE) return;
    if (number < 0 || number >= depth() || of.packets.has(number)) continue;
    packet(of, number).then(() => of === study && readAhead()).catch(() => {});
  }
}

async function showWanted() {
  if (drawing || study === null || !depth()) return;
  drawing = true;
  const slow = setTimeout(() => (at("wait").hidden = false), 150);
  try {
    while (shown?.index !== index || shown.study !== study) {
      const wanted = index, of = study;
      const found = await packet(of, wanted);
      if (of !== study) continue;
      shown = { study: of, index: wanted, ...found, edges: null };
      set("problem", "");
      render();
      readAhead();
    }
  } catch (error) {
    if (shown?.index !== index || shown.study !== study) blank();
    set("problem", error.message === "unreachable" ? W("slices.unreachable") : error.message);
  } finally {
    clearTimeout(slow);
    at("wait").hidden = true;
    drawing = false;
  }
}

// A plane that did not come must not leave another one under its number.
function blank() {
  shown = null;
  const canvas = at("canvas");
  canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
  set("value", "");
}
