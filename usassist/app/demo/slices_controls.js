// ---- What stands around the picture --------------------------------------------------------------------------

function say() {
  const { view, place } = study, number = shown.index;
  const where = view.is_placed ? W("slices.position", { mm: num(positionOf(place, number), 1) }) : W("slices.not_placed");
  const text = W("slices.place", { number: number + 1, count: depth() });
  at("scrub").value = String(number);
  at("scrub").setAttribute("aria-valuetext", `${text}, ${where}`);
  set("place", text);
  set("position", where);
  set("window", W("slices.window", { width: num(look.width), centre: num(look.centre) }));
  set("zoom", zoom.k === 1 ? "" : W("slices.zoom", { times: num(zoom.k, 1) }));
  for (const name of ["width", "centre"]) if (document.activeElement !== at(name)) at(name).value = String(Math.round(look[name]));
  for (const button of at("presets").children) {
    const preset = view.presets[Number(button.dataset.number)];
    button.setAttribute("aria-pressed", String(preset.width === look.width && preset.centre === look.centre));
  }
  for (const name of ["overlay", "heat"]) at(name).setAttribute("aria-pressed", String(look[name]));
  const present = shown.labels === null ? new Set() : (shown.present ??= new Set(shown.labels));
  for (const item of at("legend").children) item.classList.toggle("is-absent", !present.has(Number(item.dataset.value)));
  at("stage").setAttribute("aria-label", `${study.title}: ${text}, ${where}`);
  for (const [name, towards] of Object.entries(study.letters)) set(`letter-${name}`, towards);
  sayValue();
}

let pointer = null; // {x, y} of the mouse, CSS px from the corner of the stage

function voxelAt(x, y) {
  const unit = unitNow();
  const found = matrixNow().inverse().transformPoint(new DOMPoint(x * unit, y * unit));
  const [rows, columns] = sides(), column = Math.floor(found.x), row = Math.floor(found.y);
  return column >= 0 && row >= 0 && column < columns && row < rows ? { column, row } : null;
}

function sayValue() {
  const voxel = pointer === null || shown === null || shown.study !== study ? null : voxelAt(pointer.x, pointer.y);
  if (voxel === null) return set("value", "");
  const number = voxel.row * sides()[1] + voxel.column, { view } = study;
  const value = shown.voxels[number] * view.slope + view.intercept;
  const parts = [W("slices.value", { value: num(value, view.digits), unit: view.unit, column: voxel.column, row: voxel.row })];
  const label = shown.labels?.[number] ? view.labels.find((item) => item.value === shown.labels[number]) : undefined;
  if (label !== undefined && look.overlay) parts.push(label.name);
  if (shown.heat && look.heat) parts.push(W("slices.score", { score: num(shown.heat[number] / 255, 2) }));
  return set("value", parts.join(", "));
}

// Planes in a row are named as one.
function runs(planes) {
  const found = [];
  for (const plane of planes) {
    if (found.length && found.at(-1)[1] === plane - 1) found.at(-1)[1] = plane;
    else found.push([plane, plane]);
  }
  return found.map(([from, to]) => (from === to ? `${from + 1}` : `${from + 1}–${to + 1}`));
}

function sayStudy() {
  const { view } = study;
  set("title", study.title);
  set("notice", W("slices.notice"));
  at("simulated").hidden = !study.simulated;
  set("simulated", W("slices.simulated"));
  at("simulated").title = W("slices.simulated_why");
  set("wait", W("slices.waiting"));
  set("state", study.state);
  set("detail", study.detail);
  at("figure").dataset.state = study.code;
  at("figure").style.setProperty("--state", `rgb(${(STATE_COLORS[study.code] ?? [138, 148, 158]).join(" ")})`);
  at("scrub").max = String(Math.max(0, depth() - 1));
  at("scrub").disabled = depth() < 2;
  at("scrub").setAttribute("aria-label", W("slices.slice"));
  at("marks-group").hidden = !view.marks.length;
  const named = runs(view.marks);
  set("marks", fill(study.marks_text, { count: view.marks.length, planes: named.slice(0, 6).join(", ") + (named.length > 6 ? " …" : "") }));
  for (const [name, key] of [["mark-back", "slices.mark_back"], ["mark-forward", "slices.mark_forward"]]) {
    at(name).setAttribute("aria-label", W(key));
    at(name).title = W(key);
  }
  at("strip").setAttribute("aria-label", view.curves.length ? W("slices.strip") : W("slices.strip_none"));
  at("strip").title = at("strip").getAttribute("aria-label");
  fillList("curve", view.curves, (curve, number) => Object.assign(document.createElement("option"), { value: String(number), textContent: curve.name }));
  at("curve-label").hidden = view.curves.length < 2;
  set("curve-word", W("slices.curve"));
  at("window-group").setAttribute("aria-label", W("slices.windows"));
  fillList("presets", view.presets, (preset, number) => {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: preset.name });
    button.dataset.number = String(number);
    button.title = `${preset.width} / ${preset.centre} (${number + 1})`;
    return button;
  });
  set("width-word", W("slices.width"));
  set("centre-word", W("slices.centre"));
  at("overlay-group").hidden = !view.labels.length && !view.has_heat;
  at("overlay").hidden = !view.labels.length;
  at("heat").hidden = !view.has_heat;
  set("overlay", W("slices.overlay"));
  set("heat", W("slices.heat"));
  set("opacity-word", W("slices.opacity"));
  fillList("legend", view.labels, (label) => {
    const item = document.createElement("li"), swatch = document.createElement("i");
    item.dataset.value = String(label.value);
    swatch.style.background = `rgb(${label.rgb.join(" ")})`;
    item.append(swatch, label.name);
    return item;
  });
  set("keys-word", W("slices.keys_word"));
  set("keys", W("slices.keys"));
}

function fillList(name, values, make) {
  const before = at(name).value;
  at(name).replaceChildren(...values.map(make));
  if (before !== undefined && Number(before) < values.length) at(name).value = before || "0";
}

// ---- Moving --------------------------------------------------------------------------------------------------

function go(number) {
  if (!depth()) return;
  const wanted = clamp(number, 0, depth() - 1);
  if (wanted !== index) direction = wanted > index ? 1 : -1;
  index = wanted;
  showWanted();
}

function goToMark(way) {
  const found = study?.view.marks.filter((plane) => (plane - index) * way > 0) ?? [];
  if (found.length) go(way > 0 ? found[0] : found.at(-1));
}

function change(values) {
  look = { ...look, ...values };
  look.width = clamp(look.width, 1, 65535);
  look.centre = clamp(look.centre, -65535, 65535);
  render();
}

const usePreset = (number) => {
  const preset = study?.view.presets[number];
  if (preset !== undefined) change({ width: preset.width, centre: preset.centre });
};

// By a factor, around a point of the stage, so that what lies there stays there.
function zoomBy(factor, point = null) {
  const k = clamp(zoom.k * factor, 1, 16), stage = at("stage");
  const x = point === null ? 0 : point.x - stage.clientWidth / 2, y = point === null ? 0 : point.y - stage.clientHeight / 2;
  zoom = k === 1 ? { k, x: 0, y: 0 } : { k, x: x - ((x - zoom.x) * k) / zoom.k, y: y - ((y - zoom.y) * k) / zoom.k };
  render();
}

// ---- Mouse and fingers ---------------------------------------------------------------------------------------

const stage = at("stage");
const touches = new Map(); // pointer → where it is
let drag = null; // {button, x, y, index}: where a drag began, or was last
let turned = 0; // px of the wheel since the last step
let pinched = 0; // px between two fingers

const inStage = (event) => {
  const box = stage.getBoundingClientRect();
  return { x: event.clientX - box.left - stage.clientLeft, y: event.clientY - box.top - stage.clientTop };
};

stage.addEventListener("wheel", (event) => {
  if (!depth()) return;
  event.preventDefault();
  const pixels = event.deltaY * [1, 40, 400][event.deltaMode];
  if (event.ctrlKey) return zoomBy(Math.exp(-pixels / 400), inStage(event));
  turned = Math.sign(turned) === Math.sign(pixels) ? turned + pixels : pixels;
  const steps = Math.abs(turned) >= 30 ? Math.max(1, Math.floor(Math.abs(turned) / 100)) : 0;
  if (steps) {
    go(index - Math.sign(turned) * steps); // away from the user is towards the last plane
    turned = 0;
  }
  return undefined;
}, { passive: false });

stage.addEventListener("contextmenu", (event) => event.preventDefault());
stage.addEventListener("pointerdown", (event) => {
  if (!depth()) return;
  stage.focus({ preventScroll: true });
  const place = inStage(event);
  drag = { button: event.pointerType === "touch" ? -1 : event.button, index, ...place };
  if (event.pointerType === "touch") touches.set(event.pointerId, place);
  pinched = 0;
  try {
    stage.setPointerCapture(event.pointerId);
  } catch { /* the finger has gone already */ }
});

stage.addEventListener("pointermove", (event) => {
  const place = inStage(event);
  if (event.pointerType !== "touch") {
    pointer = place;
    sayValue();
  } else if (touches.has(event.pointerId)) {
    touches.set(event.pointerId, place);
  }
  if (drag === null) return;
  if (touches.size === 2) return pinch();
  const dx = place.x - drag.x, dy = place.y - drag.y;
  if (drag.button === -1 && touches.size === 1) {
    const perPlane = clamp(stage.clientHeight / depth(), 6, 24);
    return go(drag.index - Math.trunc(dy / perPlane));
  }
  if (drag.button === 2) {
    const step = Math.max(1, look.width / 200);
    change({ width: Math.round(look.width + dx * step), centre: Math.round(look.centre + dy * step) });
    drag = { ...drag, ...place };
  } else if (drag.button === 0 && zoom.k > 1) {
    zoom = { ...zoom, x: zoom.x + dx, y: zoom.y + dy };
    drag = { ...drag, ...place };
    render();
  }
  return undefined;
});

function pinch() {
  const [one, two] = [...touches.values()];
  const apart = Math.hypot(one.x - two.x, one.y - two.y);
  if (pinched) zoomBy(apart / pinched, { x: (one.x + two.x) / 2, y: (one.y + two.y) / 2 });
  pinched = apart;
  drag = { button: -2 }; // the finger that stays does not turn pages
}

for (const name of ["pointerup", "pointercancel"]) {
  stage.addEventListener(name, (event) => {
    touches.delete(event.pointerId);
    if (!touches.size) drag = null;
  });
}
stage.addEventListener("pointerleave", () => {
  pointer = null;
  sayValue();
});

// ---- Controls and keys ---------------------------------------------------------------------------------------

at("scrub").addEventListener("input", () => go(Number(at("scrub").value)));
at("presets").addEventListener("click", (event) => event.target.dataset.number && usePreset(Number(event.target.dataset.number)));
for (const name of ["width", "centre"]) {
  at(name).addEventListener("change", () => {
    const value = at(name).valueAsNumber;
    if (Number.isFinite(value)) change({ [name]: value });
  });
}
at("overlay").addEventListener("click", () => change({ overlay: !look.overlay }));
at("heat").addEventListener("click", () => change({ heat: !look.heat }));
at("opacity").addEventListener("input", () => change({ opacity: Number(at("opacity").value) / 100 }));
at("curve").addEventListener("change", () => shown && drawStrip());
at("mark-back").addEventListener("click", () => goToMark(-1));
at("mark-forward").addEventListener("click", () => goToMark(1));
const goToStrip = (event) => {
  const box = at("strip").getBoundingClientRect();
  go(Math.floor(((event.clientX - box.left) / box.width) * depth()));
};
at("strip").addEventListener("pointerdown", (event) => {
  at("strip").setPointerCapture(event.pointerId);
  goToStrip(event);
});
at("strip").addEventListener("pointermove", (event) => event.buttons & 1 && goToStrip(event));

const KEYS = {
  ArrowUp: () => go(index + 1),
  ArrowRight: () => go(index + 1),
  ArrowDown: () => go(index - 1),
  ArrowLeft: () => go(index - 1),
  PageUp: () => go(index + 10),
  PageDown: () => go(index - 10),
  Home: () => go(0),
  End: () => go(depth() - 1),
  " ": () => change({ overlay: !look.overlay }),
  o: () => change({ overlay: !look.overlay }),
  h: () => study?.view.has_heat && change({ heat: !look.heat }),
  n: () => goToMark(1),
  p: () => goToMark(-1),
  "+": () => zoomBy(1.25),
  "-": () => zoomBy(0.8),
  0: () => zoomBy(1e-6),
};

function onKey(event) {
  if (!root.isConnected) {
    document.removeEventListener("keydown", onKey);
    return;
  }
  if (event.ctrlKey || event.altKey || event.metaKey || root.offsetParent === null || !depth()) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const preset = /^[1-9]$/.test(key) && Number(key) <= study.view.presets.length;
  if (!preset && !(key in KEYS)) return;
  const target = event.target, name = target.tagName;
  if (target !== document.body && !root.contains(target)) return;
  if (["SELECT", "TEXTAREA"].includes(name) || (name === "INPUT" && target !== at("scrub"))) return;
  if (["BUTTON", "SUMMARY"].includes(name) && key === " ") return;
  event.preventDefault();
  if (preset) usePreset(Number(key) - 1);
  else KEYS[key](event);
}
document.addEventListener("keydown", onKey);
new ResizeObserver(() => render()).observe(root);

// ---- A study from the page -----------------------------------------------------------------------------------

async function load(value) {
  const turn = (loading += 1);
  const given = JSON.parse(value);
  if (given.path === null) {
    study = null;
    blank();
    root.dataset.state = "none";
    return;
  }
  try {
    const same = study !== null && study.path === given.path;
    const view = same ? study.view : await (await fetched(`${given.path}/overview`)).json();
    if (turn !== loading) return;
    const before = study;
    // The names of labels, windows and scores come in the words of the page.
    const named = (list, names) => list.map((item, number) => ({ ...item, name: names[number] }));
    const spoken = { ...view, labels: named(view.labels, given.labels), presets: named(view.presets, given.presets), curves: named(view.curves, given.curves) };
    const place = placing(view), letter = (towards) => (view.is_placed ? lettersOf(towards) : "");
    const { right, down } = place.towards;
    const letters = { right: letter(right), left: letter(negated(right)), down: letter(down), up: letter(negated(down)) };
    study = {
      ...given, view: spoken, place, letters, colours: coloursOf(view), marked: new Set(view.marks),
      packets: same ? before.packets : new Map(), asked: same ? before.asked : new Set(),
    };
    if (!same) {
      const isMore = before !== null && before.key === study.key && before.view.shape_zyx.join() === view.shape_zyx.join();
      zoom = isMore ? zoom : { k: 1, x: 0, y: 0 };
      if (!isMore) look = { ...look, width: view.presets[given.window].width, centre: view.presets[given.window].centre };
      if (!isMore || view.marks.length) index = view.first;
      look.overlay = true;
      look.heat = look.heat && view.has_heat;
    }
    root.dataset.state = "ready";
    sayStudy();
    if (same && shown !== null) {
      shown.study = study;
      render();
    }
    showWanted();
  } catch (error) {
    const words = given.words;
    if (turn === loading) set("problem", error.message === "unreachable" ? words["slices.unreachable"] : error.message);
  }
}

let lastValue = "";
function take() {
  if (props.value && props.value !== lastValue) {
    lastValue = props.value;
    load(props.value);
  }
}
watch("value", take);
take();

window.usassistSlices = {
  get shown() {
    return shown === null || shown.study !== study ? null : { index: shown.index, key: study.key, state: study.code };
  },
  get look() {
    return { ...look, zoom: zoom.k };
  },
  get count() {
    return depth();
  },
  get kept() {
    return study?.packets.size ?? 0;
  },
  // Where a voxel is on the page, CSS px of the stage.
  place(column, row) {
    const found = matrixNow().transformPoint(new DOMPoint(column + 0.5, row + 0.5));
    return { x: found.x / unitNow(), y: found.y / unitNow() };
  },
};
