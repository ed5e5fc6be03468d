// The scale by two points: click both on the frozen frame, type their distance, see what follows, confirm. The server
// computes and checks; the page only shows what it has answered.

const SCALE_ANSWER_MS = 3000; // an accepted scale comes back over the bus as a mark, well within this
const LOUPE_PX = 24; // px of the frame on either side of the point
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

let scaling = null; // {frame, points, selected, pointer, socket, asked, answered, answer}
let scaleSent = null; // the confirmed one that has not come back

function toggleScale() {
  if (scaling !== null) return endScale();
  if (frozen === null) press("freeze");
  if (frozen === null) return showNotice(W("scale.no_frame"), true);
  scaling = { frame: frozen, points: [], selected: -1, pointer: null, socket: link, asked: 0, answered: 0, answer: null };
  at("scale-mm").value = "";
  at("scale-form").hidden = false;
  root.classList.add("is-scaling");
  setButton("scale", { pressed: true });
  askScale();
  return render();
}

function endScale() {
  scaling = null;
  at("scale-form").hidden = true;
  root.classList.remove("is-scaling");
  setButton("scale", { pressed: false });
  render();
}

// ---- Points ----------------------------------------------------------------------------------------------------

function framePoint(event) {
  const box = canvas.getBoundingClientRect();
  const { bitmap } = scaling.frame;
  const place = fit(canvas, bitmap);
  const x = (((event.clientX - box.left) * canvas.width) / box.width - place.x) / place.scale;
  const y = (((event.clientY - box.top) * canvas.height) / box.height - place.y) / place.scale;
  return x >= 0 && y >= 0 && x <= bitmap.width && y <= bitmap.height ? [x, y] : null;
}

at("stage").addEventListener("click", (event) => {
  if (scaling === null || wasDragged()) return;
  const point = framePoint(event);
  if (point === null) return;
  const { points } = scaling;
  const distanceTo = ([x, y]) => Math.hypot(x - point[0], y - point[1]);
  // With two points, a click moves the nearer one.
  scaling.selected = points.length < 2 ? points.length : Number(distanceTo(points[1]) < distanceTo(points[0]));
  points[scaling.selected] = point;
  askScale();
  if (points.length === 2 && at("scale-mm").value === "") at("scale-mm").focus();
  render();
});

at("stage").addEventListener("pointermove", (event) => {
  if (scaling === null) return;
  scaling.pointer = framePoint(event);
  render();
});
at("stage").addEventListener("pointerleave", () => {
  if (scaling === null) return;
  scaling.pointer = null;
  render();
});

// True where the key was for the points.
function scaleKey(event) {
  const step = ARROWS[event.key];
  if (scaling === null || !step || scaling.selected < 0) return false;
  const { bitmap } = scaling.frame;
  const [x, y] = scaling.points[scaling.selected];
  const within = (value, limit) => Math.max(0, Math.min(limit, value));
  scaling.points[scaling.selected] = [within(x + step[0], bitmap.width), within(y + step[1], bitmap.height)];
  scaling.pointer = null;
  askScale();
  render();
  return true;
}

// ---- What would follow, and the confirmation ---------------------------------------------------------------------

function scaleRequest(confirmed) {
  const { session_id, frame_id } = scaling.frame.head;
  const distance_mm = at("scale-mm").valueAsNumber;
  return { type: "scale", session_id, frame_id, points_xy_px: scaling.points, distance_mm, confirmed };
}

function askScale() {
  scaling.answer = null;
  if (scaling.socket !== link) Object.assign(scaling, { socket: link, asked: 0, answered: 0 });
  const isComplete = scaling.points.length === 2 && Number.isFinite(at("scale-mm").valueAsNumber);
  if (isComplete && send(link, scaleRequest(false))) scaling.asked += 1;
  writeScaleForm();
}

function takeScale(answer) {
  if (scaleSent !== null && answer.frame_id === scaleSent.frame_id && answer.refused) {
    showNotice(W("scale.refused", { reason: answer.refused }), true);
    scaleSent = null;
    return;
  }
  if (scaling === null || answer.frame_id !== scaling.frame.head.frame_id) return;
  scaling.answered += 1;
  if (scaling.answered < scaling.asked) return; // of points that have moved since
  scaling.answer = answer;
  writeScaleForm();
}

// No length without its uncertainty beside it; ± is the 95 % interval, as for sizes.
const scaleText = (mm, relSd) => W("scale.value", { mm: num(mm, 4), u95: num(2 * relSd * mm, 4) });

function writeScaleForm() {
  const { points, answer } = scaling;
  const asks = W(["scale.first", "scale.second", "scale.type"][points.length]);
  const refused = answer?.refused ?? "";
  const result = answer && !refused ? W("scale.over", { scale: scaleText(answer.mm_per_px, answer.rel_sd), length: num(answer.length_px) }) : "";
  set("scale-said", refused || result || asks);
  at("scale-said").classList.toggle("is-warning", refused !== "");
  at("scale-use").disabled = result === "";
}

at("scale-mm").addEventListener("input", () => scaling !== null && askScale());
at("scale-cancel").addEventListener("click", endScale);
at("scale-form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (scaling === null || at("scale-use").disabled) return;
  const request = scaleRequest(true);
  const text = scaleText(scaling.answer.mm_per_px, scaling.answer.rel_sd);
  const after = current?.head.t_ms ?? 0;
  if (send(link, request)) scaleSent = { frame_id: request.frame_id, text, after, until: performance.now() + SCALE_ANSWER_MS };
  else showNotice(W("scale.refused", { reason: W("mark.no_stream") }), true);
  endScale();
});

// A scale counts only when the stream has taken it and published the mark.
const SCALE_REFUSED = "the scale was not set: ";
function confirmScale(head) {
  writeScale(head);
  if (scaleSent === null) return;
  const isOwn = (item) => item.kind === "scale" && item.frame_id === scaleSent.frame_id && item.t_ms >= scaleSent.after;
  if (head.marks.latest.some(isOwn)) {
    const doubt = doubtOf(head);
    showNotice(W("scale.done", { frame: scaleSent.frame_id, scale: scaleSent.text }) + doubt, doubt !== "");
    scaleSent = null;
  } else if (head.scale_note.startsWith(SCALE_REFUSED)) {
    showNotice(head.scale_note, true);
    scaleSent = null;
  }
}

setInterval(() => {
  if (scaleSent === null || performance.now() < scaleSent.until) return;
  showNotice(W("scale.refused", { reason: W("mark.no_answer") }), true);
  scaleSent = null;
}, 250);

let scaleDue = 0;
function writeScale(head) {
  const now = performance.now();
  if (now < scaleDue) return;
  scaleDue = now + TEXT_MS;
  const { scale } = head;
  const rows = scale ? scaleText(scale.spacing_rc_mm[0], scale.rel_sd) : "";
  set("scale-now", scale ? W("scale.by", { scale: rows, origin: WORDS[language][`scale.${scale.origin}`] ?? scale.origin }) : head.scale_note || W("scale.unknown"));
  at("scale-now").classList.toggle("us-warned", scale === null);
}

// ---- Drawing -----------------------------------------------------------------------------------------------------

function drawPoints() {
  if (scaling === null) return;
  if (frozen !== scaling.frame) {
    endScale(); // it was unfrozen
    return;
  }
  const context = canvas.getContext("2d", { alpha: false });
  const place = fit(canvas, scaling.frame.bitmap);
  const unit = unitPx();
  const onCanvas = ([x, y]) => [place.x + x * place.scale, place.y + y * place.scale];
  if (scaling.points.length === 2) {
    context.setLineDash([4 * unit, 4 * unit]);
    strokeTwice(context, [255, 224, 80], unit * 0.75, () => {
      context.beginPath();
      context.moveTo(...onCanvas(scaling.points[0]));
      context.lineTo(...onCanvas(scaling.points[1]));
    });
    context.setLineDash([]);
  }
  scaling.points.forEach((point, number) => {
    const [x, y] = onCanvas(point);
    strokeTwice(context, number === scaling.selected ? [255, 255, 255] : [255, 224, 80], unit * 0.75, () => cross(context, x, y, 9 * unit));
  });
  const looked = scaling.pointer ?? scaling.points[scaling.selected];
  if (looked) drawLoupe(context, looked, unit);
}

function cross(context, x, y, arm) {
  context.beginPath();
  context.moveTo(x - arm, y);
  context.lineTo(x + arm, y);
  context.moveTo(x, y - arm);
  context.lineTo(x, y + arm);
}

// Enlarged, so that a point can be set to a pixel of the frame however small the frame is drawn.
function drawLoupe(context, [x, y], unit) {
  const side = Math.min(190 * unit, canvas.width / 3, canvas.height / 3);
  const { bitmap } = scaling.frame;
  const left = x > bitmap.width / 2 ? 8 * unit : canvas.width - side - 8 * unit;
  const top = canvas.height - side - 8 * unit;
  context.fillStyle = "#000";
  context.fillRect(left, top, side, side);
  context.imageSmoothingEnabled = false;
  context.drawImage(bitmap, x - LOUPE_PX, y - LOUPE_PX, 2 * LOUPE_PX, 2 * LOUPE_PX, left, top, side, side);
  context.imageSmoothingEnabled = true;
  strokeTwice(context, [255, 255, 255], unit * 0.3, () => cross(context, left + side / 2, top + side / 2, side / 2));
  context.strokeStyle = "#b9c7d4";
  context.lineWidth = unit;
  context.strokeRect(left, top, side, side);
}
