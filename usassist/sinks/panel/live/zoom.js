// Zoom and pan: which part of the frame the canvas shows. Kept as a factor and the centre in shares of the frame.

const ZOOM_MAX = 8;
const PAN_STEP = 0.1; // of what is visible, per key

let zoom = { ...kept.zoom };

function setZoom(next) {
  const k = Math.min(ZOOM_MAX, Math.max(1, next.k));
  const half = 0.5 / k;
  const within = (value) => Math.min(1 - half, Math.max(half, value));
  zoom = { k, x: within(next.x), y: within(next.y) };
  keep("zoom", zoom);
  set("zoom", `${num(k, 1)} ×`);
  at("stage").classList.toggle("is-zoomed", k > 1);
  render();
}

// Zoom so that what lies under a point of the canvas (px of the canvas) stays there.
function zoomAt(factor, x, y) {
  const bitmap = (frozen ?? current)?.bitmap;
  if (!bitmap) return;
  const before = fit(canvas, bitmap);
  const [u, v] = [(x - before.x) / before.scale / bitmap.width, (y - before.y) / before.scale / bitmap.height];
  const k = Math.min(ZOOM_MAX, Math.max(1, zoom.k * factor));
  const share = zoom.k / k;
  setZoom({ k, x: u + (zoom.x - u) * share, y: v + (zoom.y - v) * share });
}

const zoomBy = (factor) => zoomAt(factor, canvas.width / 2, canvas.height / 2);
const zoomFit = () => setZoom({ k: 1, x: 0.5, y: 0.5 });
const pan = (dx, dy) => setZoom({ k: zoom.k, x: zoom.x + dx / zoom.k, y: zoom.y + dy / zoom.k });

const onCanvas = (event) => {
  const box = canvas.getBoundingClientRect();
  return [((event.clientX - box.left) * canvas.width) / box.width, ((event.clientY - box.top) * canvas.height) / box.height];
};

at("stage").addEventListener("wheel", (event) => {
  event.preventDefault();
  zoomAt(Math.exp(-event.deltaY / 400), ...onCanvas(event));
}, { passive: false });

// One pointer pans, two zoom. A drag is no click: it chooses no nodule.
const pointers = new Map();
let dragged = 0;

at("stage").addEventListener("pointerdown", (event) => {
  if (pointers.size === 0) dragged = 0;
  pointers.set(event.pointerId, onCanvas(event));
});
at("stage").addEventListener("pointermove", (event) => {
  const before = pointers.get(event.pointerId);
  const bitmap = (frozen ?? current)?.bitmap;
  if (!before || !bitmap) return;
  const now = onCanvas(event);
  const others = [...pointers].filter(([id]) => id !== event.pointerId).map(([, point]) => point);
  pointers.set(event.pointerId, now);
  dragged += Math.hypot(now[0] - before[0], now[1] - before[1]);
  if (others.length === 1) {
    const [other] = others;
    const factor = Math.hypot(now[0] - other[0], now[1] - other[1]) / Math.max(1, Math.hypot(before[0] - other[0], before[1] - other[1]));
    zoomAt(factor, (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
  } else if (zoom.k > 1 && !root.classList.contains("is-scaling")) {
    const { scale } = fit(canvas, bitmap);
    setZoom({ k: zoom.k, x: zoom.x - (now[0] - before[0]) / scale / bitmap.width, y: zoom.y - (now[1] - before[1]) / scale / bitmap.height });
  }
});
for (const type of ["pointerup", "pointercancel", "pointerleave"]) {
  at("stage").addEventListener(type, (event) => pointers.delete(event.pointerId));
}
const wasDragged = () => dragged > 6 * (window.devicePixelRatio || 1);
