// ---- Drawing -------------------------------------------------------------------------------------------------

const picture = document.createElement("canvas"); // the plane in its window
const tint = document.createElement("canvas"); // labels
const warm = document.createElement("canvas"); // scores
const greys = new Uint32Array(65536); // value + 32768 → a pixel
let greysOf = ""; // what `greys` was made for
const heats = new Uint32Array(256).map((_, score) => {
  const share = score / 255, alpha = Math.min(1, share * 1.6); // transparent, red, yellow
  const green = Math.round(255 * clamp((share - 0.35) / 0.65, 0, 1));
  return ((Math.round(255 * alpha) << 24) | (20 << 16) | (green << 8) | 255) >>> 0;
});

// DICOM PS3.3 C.11.2.1.3.2 (LINEAR_EXACT): everything from centre − width/2 to centre + width/2, evenly.
function makeGreys() {
  const { slope, intercept } = study.view;
  const key = `${look.width} ${look.centre} ${slope} ${intercept}`;
  if (key === greysOf) return;
  greysOf = key;
  const least = look.centre - look.width / 2;
  for (let raw = -32768; raw < 32768; raw += 1) {
    const grey = Math.round(255 * clamp((raw * slope + intercept - least) / look.width, 0, 1));
    greys[raw + 32768] = (0xff000000 | (grey << 16) | (grey << 8) | grey) >>> 0;
  }
}

function paint(canvas, [rows, columns], colourOf) {
  if (canvas.width !== columns || canvas.height !== rows) Object.assign(canvas, { width: columns, height: rows });
  const context = canvas.getContext("2d");
  const image = context.createImageData(columns, rows);
  const pixels = new Uint32Array(image.data.buffer);
  for (let number = 0; number < pixels.length; number += 1) pixels[number] = colourOf(number);
  context.putImageData(image, 0, 0);
}

const coloursOf = (view) => {
  const colours = new Uint32Array(256);
  for (const label of view.labels) {
    const [red, green, blue] = label.rgb;
    colours[label.value] = (0xff000000 | (blue << 16) | (green << 8) | red) >>> 0;
  }
  return colours;
};

// Label → path along the borders of its voxels, in voxels; straight runs are one line.
function edgesOf(labels, [rows, columns]) {
  const paths = new Map();
  const line = (label, x0, y0, x1, y1) => {
    if (!paths.has(label)) paths.set(label, new Path2D());
    paths.get(label).moveTo(x0, y0);
    paths.get(label).lineTo(x1, y1);
  };
  const scan = (outer, inner, valueAt, add) => {
    for (let a = 0; a <= outer; a += 1) {
      let from = 0, before = 0;
      for (let b = 0; b <= inner; b += 1) {
        const one = b < inner && a > 0 ? valueAt(a - 1, b) : 0, two = b < inner && a < outer ? valueAt(a, b) : 0;
        const label = b < inner && one !== two ? one || two : 0;
        if (label === before) continue;
        if (before) add(before, a, from, b);
        from = b;
        before = label;
      }
    }
  };
  scan(rows, columns, (row, column) => labels[row * columns + column], (label, row, from, to) => line(label, from, row, to, row));
  scan(columns, rows, (column, row) => labels[row * columns + column], (label, column, from, to) => line(label, column, from, column, to));
  return paths;
}

function sizeCanvas(canvas, unit) {
  const width = Math.round(canvas.clientWidth * unit), height = Math.round(canvas.clientHeight * unit);
  if (width && height && (canvas.width !== width || canvas.height !== height)) Object.assign(canvas, { width, height });
  return width > 0 && height > 0;
}

const unitNow = () => window.devicePixelRatio || 1;
const sides = () => study.view.shape_zyx.slice(1);
const matrixNow = () => matrixOf(study.place, sides(), at("canvas"), unitNow());

function render() {
  if (shown === null || shown.study !== study) return;
  const canvas = at("canvas"), unit = unitNow(), size = sides();
  if (!sizeCanvas(canvas, unit)) return; // in a tab that is not open
  makeGreys();
  paint(picture, size, (number) => greys[shown.voxels[number] + 32768]);
  const context = canvas.getContext("2d"), matrix = matrixNow();
  context.resetTransform();
  context.globalAlpha = 1;
  context.fillStyle = "#000";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.setTransform(matrix);
  // Voxels that are large on the screen are shown as they are, so that nobody takes interpolation for detail.
  context.imageSmoothingEnabled = Math.hypot(matrix.a, matrix.b) < 6 * unit;
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, 0, 0);
  if (look.heat && shown.heat) {
    paint(warm, size, (number) => heats[shown.heat[number]]);
    context.globalAlpha = look.opacity;
    context.drawImage(warm, 0, 0);
  }
  if (look.overlay && shown.labels) drawLabels(context, matrix, size, unit);
  say();
  drawStrip();
}

function drawLabels(context, matrix, size, unit) {
  const colours = study.colours;
  if (!look.heat || !shown.heat) { // the map of scores stays as it is under outlines
    paint(tint, size, (number) => colours[shown.labels[number]]);
    context.imageSmoothingEnabled = false;
    context.globalAlpha = look.opacity * 0.5;
    context.drawImage(tint, 0, 0);
  }
  context.globalAlpha = 1;
  context.resetTransform();
  shown.edges ??= edgesOf(shown.labels, size);
  context.lineWidth = 1.5 * unit;
  context.lineCap = "square";
  for (const label of study.view.labels) {
    const edge = shown.edges.get(label.value);
    if (edge === undefined) continue;
    const path = new Path2D();
    path.addPath(edge, matrix);
    context.strokeStyle = `rgb(${label.rgb.join(" ")})`;
    context.stroke(path);
  }
}

// ---- The row of scores: a bar for each plane, bright where it is marked ----------------------------------------

const FLAT = "#12161b";

function drawStrip() {
  const strip = at("strip"), unit = unitNow();
  if (!sizeCanvas(strip, unit)) return;
  const context = strip.getContext("2d"), { width, height } = strip, count = depth();
  context.fillStyle = FLAT;
  context.fillRect(0, 0, width, height);
  const curve = study.view.curves[Number(at("curve").value) || 0];
  const wide = Math.max(unit, width / count);
  if (curve === undefined && study.code === "no_result") hatch(context, width, height, unit);
  for (let number = 0; number < count; number += 1) {
    const x = (number / count) * width, mark = study.marked.has(number);
    if (mark) {
      context.fillStyle = "#f0524a";
      context.fillRect(x, 0, wide + 0.5, 5 * unit);
    }
    const score = curve?.values[number];
    if (score == null) continue;
    context.fillStyle = curve.threshold != null && score >= curve.threshold ? "#f0524a" : "#5aa9e6";
    const tall = Math.max(unit, (height - 8 * unit) * clamp(score, 0, 1));
    context.fillRect(x, height - tall, wide + 0.5, tall);
  }
  if (curve?.threshold != null) {
    context.fillStyle = "#e8edf2";
    const y = height - (height - 8 * unit) * curve.threshold;
    for (let x = 0; x < width; x += 10 * unit) context.fillRect(x, y, 5 * unit, unit);
  }
  context.fillStyle = "#fff";
  context.fillRect(((shown.index + 0.5) / count) * width - unit, 0, 2 * unit, height);
}

function hatch(context, width, height, unit) {
  context.strokeStyle = "#e85040";
  context.lineWidth = 2 * unit;
  context.beginPath();
  for (let x = -height; x < width; x += 14 * unit) {
    context.moveTo(x, height);
    context.lineTo(x + height, 0);
  }
  context.stroke();
}
