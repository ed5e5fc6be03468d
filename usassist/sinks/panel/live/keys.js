// Buttons, keys and timers. The buttons are Gradio's, with the id us-NAME; each calls usassist.press(NAME).

const LINE_RANGE_PX = [1, 6];

function toggleFreeze() {
  if (frozen !== null) {
    const old = frozen;
    frozen = null;
    if (old.bitmap !== current?.bitmap) release(old);
  } else if (current !== null && current.bitmap !== null) {
    const view = viewNow(performance.now());
    frozen = { ...current, view: { ...view }, at: performance.now() };
    holdFrame(frozen.head);
  }
  closeForm();
}

function toggleOption(name) {
  options[name] = !options[name];
  keep(name, options[name]);
}

function setLine(px) {
  keep("line", Math.min(LINE_RANGE_PX[1], Math.max(LINE_RANGE_PX[0], px)));
}

function toggleFullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else if (at("view").requestFullscreen) at("view").requestFullscreen().catch(() => showNotice(W("mark.not_full"), true));
  else showNotice(W("mark.not_full"), true);
}

function toggleHelp() {
  const dialog = at("help");
  if (dialog.open) return dialog.close();
  const lines = KEYS.map(([key, name]) => {
    const line = document.createElement("div");
    const term = document.createElement("dt");
    const does = document.createElement("dd");
    const cap = document.createElement("kbd");
    cap.textContent = key;
    term.append(cap);
    does.textContent = W(`does.${name}`);
    line.append(term, does);
    return line;
  });
  at("help-keys").replaceChildren(...lines);
  return dialog.showModal();
}

function toggleMenu() {
  const isOpen = document.getElementById("us-settings").classList.toggle("is-open");
  setButton("menu", { pressed: isOpen });
}

const ACTIONS = {
  outline: () => toggleOption("outline"),
  box: () => toggleOption("box"),
  calipers: () => toggleOption("calipers"),
  freeze: toggleFreeze,
  scale: toggleScale,
  snapshot: saveSnapshot,
  full: toggleFullScreen,
  zoom_in: () => zoomBy(1.25),
  zoom_out: () => zoomBy(0.8),
  zoom_fit: zoomFit,
  thicker: () => setLine(kept.line + 0.5),
  thinner: () => setLine(kept.line - 0.5),
  help: toggleHelp,
  menu: toggleMenu,
  ...Object.fromEntries(MARK_KINDS.map((kind) => [kind, () => mark(kind)])),
  ...Object.fromEntries([...PLANES, ...SIDES].map((name) => [name, () => statePlane(name)])),
};

const KEYS = [
  ["F", "freeze"], ["O", "outline"], ["C", "calipers"], ["X", "box"], ["]", "thicker"], ["[", "thinner"],
  ["+", "zoom_in"], ["−", "zoom_out"], ["0", "zoom_fit"], ["← ↑ → ↓", "pan"], ["Enter", "full"], ["P", "snapshot"],
  ["S", "scale"], ["B", "bookmark"], ["W", "wrong"], ["M", "missed"], ["T", "transverse"], ["G", "longitudinal"],
  ["R", "right"], ["I", "isthmus"], ["L", "left"], ["?", "help"], ["Esc", "close"],
];
const ACTION_OF_KEY = {
  ...Object.fromEntries(KEYS.map(([key, name]) => [key.toLowerCase(), name])),
  " ": "freeze", "-": "zoom_out", "=": "zoom_in", h: "help",
};

// What Gradio's button NAME shows beside its text: whether it is pressed, and a count.
const buttonStates = {};
function setButton(name, { pressed, count }) {
  const button = document.getElementById(`us-${name}`);
  const state = `${pressed} ${count} ${button?.isConnected}`;
  if (!button || buttonStates[name] === state) return;
  buttonStates[name] = state;
  if (pressed !== undefined) button.setAttribute("aria-pressed", String(pressed));
  if (count !== undefined) button.dataset.count = count;
}

function writeButtons() {
  for (const name of ["outline", "box", "calipers"]) setButton(name, { pressed: options[name] });
  setButton("freeze", { pressed: frozen !== null });
  for (const [key, name] of KEYS) {
    const button = document.getElementById(`us-${name}`);
    if (!button) continue;
    const title = `${W(`does.${name}`)} (${key})`;
    if (button.title !== title) button.title = title;
    if (name.startsWith("zoom") || name === "help") button.setAttribute("aria-label", title);
  }
}

function press(name) {
  if (!(name in ACTIONS)) throw new Error(`usassist has no action ${name}`);
  ACTIONS[name]();
  writeButtons();
  textDue = 0;
  render();
}

// While the user types, a key is a letter; on a button, Enter and space are the button's own.
const isTyping = (node) => node instanceof Element && node.closest("input, textarea, select, [contenteditable]") !== null;
const isButton = (node) => node instanceof Element && node.closest("button, a, [role=tab], [role=option]") !== null;

document.addEventListener("keydown", (event) => {
  const node = event.composedPath()[0];
  if (event.ctrlKey || event.metaKey || event.altKey || !isOnPage()) return;
  if (event.key === "Escape") {
    if (scaling !== null) endScale();
    else if (selected !== null) closeForm();
    else if (document.getElementById("us-settings").classList.contains("is-open")) toggleMenu();
    return;
  }
  if (isTyping(node) || at("help").open && event.key !== "?") return;
  if ((event.key === "Enter" || event.key === " ") && isButton(node)) return;
  if (scaleKey(event)) return event.preventDefault();
  const arrow = ARROWS[event.key];
  if (arrow) {
    if (zoom.k === 1 || isButton(node)) return;
    event.preventDefault();
    return pan(arrow[0] * PAN_STEP, arrow[1] * PAN_STEP);
  }
  const name = ACTION_OF_KEY[event.key.toLowerCase()];
  if (!(name in ACTIONS) || event.repeat && !name.startsWith("zoom")) return;
  event.preventDefault();
  press(name);
});

new ResizeObserver(() => {
  const unit = window.devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(canvas.clientWidth * unit));
  canvas.height = Math.max(1, Math.round(canvas.clientHeight * unit));
  render();
}).observe(at("stage"));

// Watchdog: when packets stop, nothing else would remove the outlines.
setInterval(() => {
  const now = performance.now();
  if (now - lastPacket > 100) render();
  expireMarks(now);
  writeButtons();
}, 100);
document.addEventListener("visibilitychange", () => render());

function setLanguage(code) {
  if (!(code in WORDS)) return;
  language = code;
  keep("language", code);
  textDue = 0;
  writeWords();
  writeCategories();
  writeButtons();
  setZoom(zoom);
}

// ---- What Gradio's events, tests and the console may call ---------------------------------------------------------

window.usassist = {
  press, // an action by its name, as its button does
  set(name, value) { // a setting: language, theme, line
    if (name === "language") setLanguage(value);
    else keep(name, value);
    if (name === "theme") applyTheme();
    render();
    return value;
  },
  settings: () => [language, kept.theme, kept.line], // as they are kept, for the components that show them
  stats, // {frames, dropped, rate_hz, latency_p50_ms, latency_p95_ms, latency_p99_ms} of this page
  get fps() { return fps(performance.now()); },
  get frames() { return counts.frames; },
  get dropped() { return counts.dropped; },
  get lastFrameId() { return current?.head.frame_id ?? null; },
  get shownFrameId() { return (frozen ?? current)?.head.frame_id ?? null; },
  get sessionId() { return current?.head.session_id ?? null; },
  get state() { return viewNow(performance.now()).state; },
  get frozen() { return frozen !== null; },
  get zoom() { return { ...zoom }; },
  get place() { // of the frame on the canvas: left upper corner and scale, px of the canvas
    const bitmap = (frozen ?? current)?.bitmap;
    return bitmap ? fit(canvas, bitmap) : null;
  },
};
setLanguage(language);
writeButtons();
connect();
