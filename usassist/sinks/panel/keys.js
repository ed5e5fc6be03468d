// Buttons, keys and timers.

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
    closeForm();
  } else {
    options[name] = !options[name];
  }
  at(name).setAttribute("aria-pressed", String(name === "freeze" ? frozen !== null : options[name]));
  textDue = 0;
  render();
}

for (const name of ["outline", "box", "freeze"]) at(name).addEventListener("click", () => press(name));
for (const kind of MARK_KINDS) at(kind).addEventListener("click", () => mark(kind));

const KEYS = {
  o: () => press("outline"),
  x: () => press("box"),
  f: () => press("freeze"),
  b: () => mark("bookmark"),
  w: () => mark("wrong"),
  m: () => mark("missed"),
  ...PLANE_KEYS,
};
// While the user types, a key is a letter.
const isTyping = (node) => node instanceof Element && node.closest("input, textarea, select, [contenteditable]") !== null;
document.addEventListener("keydown", (event) => {
  const act = KEYS[event.key.toLowerCase()];
  if (!act || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (!isTyping(event.composedPath()[0])) act();
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
