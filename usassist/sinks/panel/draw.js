// Drawing: the frame and its outlines. Pure: everything drawn is in the arguments.

const rgb = (color) => `rgb(${color.join(",")})`;

// A nodule that is tracked keeps its number from frame to frame; one that is not has the number of its row.
const numberOf = (nodule, row) => (nodule.track_id >= 0 ? `N${nodule.track_id}` : `${row + 1}`);

// Of a nodule that the border of the scan cuts, only the least that its longest diameter can be is known.
const sizeText = (nodule) => {
  const unit = nodule.major_mm === null ? "px" : "mm";
  const digits = unit === "mm" ? 1 : 0;
  const major = nodule[`major_${unit}`].toFixed(digits);
  return nodule.cut ? `≥ ${major} ${unit}` : `${major} × ${nodule[`minor_${unit}`].toFixed(digits)} ${unit}`;
};

const certaintyText = (nodule) => {
  const calibrated = nodule.major_mm !== null;
  if (nodule.cut) return calibrated ? "cut by the border" : "not calibrated, cut by the border";
  return calibrated
    ? `± ${nodule.major_u95_mm.toFixed(1)} × ± ${nodule.minor_u95_mm.toFixed(1)} mm`
    : "not calibrated";
};

// Percent means the share of findings that are right, so only a calibrated score is shown in percent, at most 99.
const scoreText = (nodule) =>
  nodule.score_calibrated ? `${Math.min(99, 100 * nodule.score).toFixed(0)} %` : nodule.score.toFixed(2);

// An estimate is labelled as one wherever it is shown.
const descriptorText = (descriptor) => `${descriptor.name} (${descriptor.basis}): ${descriptor.value}`;
const agreementText = (descriptor) => `agreement with readers: ${descriptor.agreement || "not known"}`;

// No length without its uncertainty beside it.
const sizeInOneLine = (nodule) =>
  nodule.cut || nodule.major_mm === null
    ? `${sizeText(nodule)}, ${certaintyText(nodule)}`
    : `${nodule.major_mm.toFixed(1)} ± ${nodule.major_u95_mm.toFixed(1)} × ${nodule.minor_mm.toFixed(1)} ± ${nodule.minor_u95_mm.toFixed(1)} mm`;

// Fit the frame into the canvas. The canvas has the resolution of the screen, so that lines stay sharp at any frame
// size.
function fit(canvas, bitmap) {
  const scale = Math.min(canvas.width / bitmap.width, canvas.height / bitmap.height);
  return {
    scale,
    x: Math.round((canvas.width - bitmap.width * scale) / 2),
    y: Math.round((canvas.height - bitmap.height * scale) / 2),
  };
}

function drawScene(canvas, bitmap, nodules, options) {
  const context = canvas.getContext("2d", { alpha: false });
  context.fillStyle = "#000";
  context.fillRect(0, 0, canvas.width, canvas.height);
  if (bitmap === null) return;
  const place = fit(canvas, bitmap);
  context.drawImage(bitmap, place.x, place.y, bitmap.width * place.scale, bitmap.height * place.scale);
  const unit = window.devicePixelRatio || 1;
  nodules.forEach((nodule, row) => {
    if (options.outline || row === options.selected) {
      const weight = row === options.selected ? 2 : 1;
      strokeTwice(context, nodule.color_rgb, unit * weight, () => tracePolygon(context, nodule.contour, place));
    }
    if (options.box) {
      const [x1, y1, x2, y2] = nodule.xyxy_px;
      context.setLineDash([6 * unit, 4 * unit]);
      strokeTwice(context, nodule.color_rgb, unit * 0.75, () => {
        context.beginPath();
        context.rect(place.x + x1 * place.scale, place.y + y1 * place.scale, (x2 - x1) * place.scale, (y2 - y1) * place.scale);
      });
      context.setLineDash([]);
    }
    if (options.outline || options.box) drawLabel(context, canvas, nodule, row, place, unit);
  });
}

function tracePolygon(context, points, place) {
  context.beginPath();
  for (const [x, y] of points) context.lineTo(place.x + x * place.scale, place.y + y * place.scale);
  context.closePath();
}

// A dark line under the coloured one keeps it visible on bright tissue.
function strokeTwice(context, color, unit, trace) {
  context.lineJoin = "round";
  trace();
  context.strokeStyle = "rgba(0,0,0,.65)";
  context.lineWidth = 4.5 * unit;
  context.stroke();
  context.strokeStyle = rgb(color);
  context.lineWidth = 2 * unit;
  context.stroke();
}

function drawLabel(context, canvas, nodule, row, place, unit) {
  const lines = [`${numberOf(nodule, row)} ${nodule.label} ${scoreText(nodule)}`, sizeInOneLine(nodule)];
  const line = 17 * unit;
  context.font = `600 ${13 * unit}px system-ui, "DejaVu Sans", sans-serif`;
  context.textBaseline = "middle";
  const width = Math.max(...lines.map((text) => context.measureText(text).width)) + 12 * unit;
  const height = lines.length * line + 6 * unit;
  const [x1, y1, , y2] = nodule.xyxy_px;
  const above = place.y + y1 * place.scale - height - 8 * unit;
  const x = Math.max(0, Math.min(place.x + x1 * place.scale, canvas.width - width));
  const y = above >= 0 ? above : Math.min(place.y + y2 * place.scale + 8 * unit, canvas.height - height);
  context.fillStyle = "rgba(8,10,13,.78)";
  context.fillRect(x, y, width, height);
  context.fillStyle = rgb(nodule.color_rgb);
  context.fillRect(x, y, 3 * unit, height);
  context.fillStyle = "#fff";
  lines.forEach((text, index) => context.fillText(text, x + 8 * unit, y + 4 * unit + line * (index + 0.5)));
}
