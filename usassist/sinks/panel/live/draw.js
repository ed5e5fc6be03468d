// Drawing: the frame, its outlines and calipers. Everything drawn is in the arguments, but for the zoom.

const GUTTER_PX = 42; // at the left, for the depth scale; kept free where there is none, so that the frame never jumps
const HALO = "rgba(0,0,0,.8)";
const TEXT = '600 {}px system-ui, "Segoe UI", "Noto Sans", "Noto Sans CJK KR", "DejaVu Sans", sans-serif';

const rgb = (color) => `rgb(${color.join(",")})`;

// Where the frame lies: its left upper corner and its scale, px of the canvas. The canvas has the resolution of the
// screen, so that lines stay sharp at any frame size.
function fit(canvas, bitmap) {
  const gutter = unitPx() * GUTTER_PX;
  const width = Math.max(1, canvas.width - gutter);
  const whole = Math.min(width / bitmap.width, canvas.height / bitmap.height);
  const scale = whole * zoom.k;
  // A zoomed frame fills the canvas, and shows no more beside itself than it has to.
  const along = (room, size, center) => {
    if (size <= room) return (room - size) / 2;
    return Math.min(0, Math.max(room - size, room / 2 - center * size));
  };
  return {
    scale,
    x: gutter + Math.round(along(width, bitmap.width * scale, zoom.x)),
    y: Math.round(along(canvas.height, bitmap.height * scale, zoom.y)),
  };
}

const unitPx = () => (window.devicePixelRatio || 1) * Math.max(1, Math.min(canvas.clientWidth / 900, canvas.clientHeight / 560));

function drawScene(canvas, bitmap, nodules, options) {
  const context = canvas.getContext("2d", { alpha: false });
  context.fillStyle = "#000";
  context.fillRect(0, 0, canvas.width, canvas.height);
  if (bitmap === null) return;
  const place = fit(canvas, bitmap);
  const unit = unitPx();
  const gutter = unit * GUTTER_PX;
  context.save();
  context.beginPath();
  context.rect(gutter, 0, canvas.width - gutter, canvas.height);
  context.clip();
  context.drawImage(bitmap, place.x, place.y, bitmap.width * place.scale, bitmap.height * place.scale);
  const shapes = nodules.map((nodule, row) => ({ nodule, row, box: boxOf(nodule, place, 5 * unit) }));
  for (const { nodule, row } of shapes) {
    const isSelected = row === options.selected;
    if (options.outline || isSelected) drawOutline(context, nodule, place, unit * options.line * (isSelected ? 2 : 1) * 0.75);
    if (options.box) drawBox(context, nodule, place, unit);
    if (options.outline && options.calipers) drawCalipers(context, nodule, place, unit);
  }
  if (options.outline || options.box) drawLabels(context, canvas, shapes, unit, gutter, options);
  context.restore();
  drawDepth(context, canvas, options.scale, bitmap, place, unit, gutter);
}

function boxOf(nodule, place, margin) {
  const [x1, y1, x2, y2] = nodule.xyxy_px;
  return [place.x + x1 * place.scale - margin, place.y + y1 * place.scale - margin, place.x + x2 * place.scale + margin, place.y + y2 * place.scale + margin];
}

function polygon(points, place) {
  const path = new Path2D();
  for (const [x, y] of points) path.lineTo(place.x + x * place.scale, place.y + y * place.scale);
  path.closePath();
  return path;
}

// The border of a nodule is what is judged, so the line lies beside it: everything inside the outline is left alone.
function drawOutline(context, nodule, place, line) {
  const path = polygon(nodule.contour, place);
  const outside = new Path2D();
  outside.rect(0, 0, canvas.width, canvas.height);
  outside.addPath(path);
  const edge = Math.max(1, 0.5 * line);
  context.save();
  context.clip(outside, "evenodd");
  context.lineJoin = "round";
  for (const [style, reach] of [[HALO, 2 * edge + line], [rgb(nodule.color_rgb), edge + line], [HALO, edge]]) {
    context.strokeStyle = style;
    context.lineWidth = 2 * reach;
    context.stroke(path);
  }
  context.restore();
}

function drawBox(context, nodule, place, unit) {
  const [x1, y1, x2, y2] = boxOf(nodule, place, 4 * unit);
  context.setLineDash([6 * unit, 4 * unit]);
  strokeTwice(context, nodule.color_rgb, unit * 0.5, () => {
    context.beginPath();
    context.rect(x1, y1, x2 - x1, y2 - y1);
  });
  context.setLineDash([]);
}

// A dark line under the coloured one keeps it visible on bright tissue.
function strokeTwice(context, color, unit, trace) {
  context.lineJoin = "round";
  trace();
  context.strokeStyle = HALO;
  context.lineWidth = 4.5 * unit;
  context.stroke();
  context.strokeStyle = rgb(color);
  context.lineWidth = 2 * unit;
  context.stroke();
}

// ---- Calipers: + at the ends of the longest diameter, × at those across it, dots between -------------------------

const ARM_PX = 4;

const hasCalipers = (nodule) => !nodule.cut && nodule.major_ends_xy_px.length === 2 && nodule.minor_ends_xy_px.length === 2;

function drawCalipers(context, nodule, place, unit) {
  if (!hasCalipers(nodule)) return;
  [nodule.major_ends_xy_px, nodule.minor_ends_xy_px].forEach((ends, index) => {
    const [[x1, y1], [x2, y2]] = ends.map(([x, y]) => [place.x + x * place.scale, place.y + y * place.scale]);
    const dots = Math.floor(Math.hypot(x2 - x1, y2 - y1) / (6 * ARM_PX * unit));
    for (let dot = 1; dot <= dots; dot += 1) {
      const share = dot / (dots + 1);
      drawDot(context, x1 + (x2 - x1) * share, y1 + (y2 - y1) * share, nodule.color_rgb, unit);
    }
    drawMark(context, x1, y1, nodule.color_rgb, unit, index === 1);
    drawMark(context, x2, y2, nodule.color_rgb, unit, index === 1);
  });
}

function drawDot(context, x, y, color, unit) {
  for (const [style, radius] of [[HALO, 1.4], [rgb(color), 0.7]]) {
    context.fillStyle = style;
    context.beginPath();
    context.arc(x, y, radius * unit, 0, 2 * Math.PI);
    context.fill();
  }
}

function drawMark(context, x, y, color, unit, turned) {
  const arm = ARM_PX * unit;
  const reach = arm / Math.SQRT2;
  strokeTwice(context, color, unit * 0.75, () => {
    context.beginPath();
    if (turned) {
      context.moveTo(x - reach, y - reach);
      context.lineTo(x + reach, y + reach);
      context.moveTo(x - reach, y + reach);
      context.lineTo(x + reach, y - reach);
    } else {
      context.moveTo(x - arm, y);
      context.lineTo(x + arm, y);
      context.moveTo(x, y - arm);
      context.lineTo(x, y + arm);
    }
  });
}

// ---- Labels: name, score as a small bar, diameters; beside their nodule and over no other -------------------------

const NAME_PX = 16;
const SIZE_PX = 12.5;
const ROW_PX = 16;
const BAR_PX = 26;

function drawLabels(context, canvas, shapes, unit, gutter, options) {
  const taken = shapes.map(({ box }) => box);
  context.textBaseline = "middle";
  for (const { nodule, row, box } of shapes) {
    const name = numberOf(nodule, row);
    const sizes = options.calipers ? diametersOf(nodule) : [];
    const indent = hasCalipers(nodule) ? 3 * ARM_PX * unit : 0;
    context.font = TEXT.replace("{}", NAME_PX * unit);
    const nameWidth = context.measureText(name).width;
    context.font = TEXT.replace("{}", SIZE_PX * unit);
    const width = Math.max(nameWidth + (BAR_PX + 8) * unit, ...sizes.map((text) => indent + context.measureText(text).width)) + 4 * unit;
    const height = (NAME_PX + ROW_PX * sizes.length + 6) * unit;
    const spot = spotFor(box, width, height, taken, [gutter, 0, canvas.width, canvas.height]);
    if (spot === null) continue; // the table has it
    taken.push([spot[0], spot[1], spot[0] + width, spot[1] + height]);
    const x = spot[0] + 2 * unit;
    let y = spot[1] + (NAME_PX / 2 + 2) * unit;
    writeOnFrame(context, name, x, y, NAME_PX * unit, rgb(nodule.color_rgb), unit);
    drawScore(context, x + nameWidth + 8 * unit, y, nodule, unit);
    y += (NAME_PX / 2 - SIZE_PX / 2 + ROW_PX - 1) * unit;
    sizes.forEach((text, index) => {
      if (indent) drawMark(context, x + ARM_PX * unit, y, nodule.color_rgb, unit, index === 1);
      writeOnFrame(context, text, x + indent, y, SIZE_PX * unit, "#fff", unit);
      y += ROW_PX * unit;
    });
  }
}

function spotFor([x1, y1, x2, y2], width, height, taken, [left, top, right, bottom]) {
  const gap = 6;
  const spots = [[x2 + gap, y1], [x1 - gap - width, y1], [x1, y2 + gap], [x1, y1 - gap - height]];
  for (const [wantedX, wantedY] of spots) {
    const x = Math.min(Math.max(wantedX, left + 2), right - width - 2);
    const y = Math.min(Math.max(wantedY, top + 2), bottom - height - 2);
    const isFree = taken.every(([a, b, c, d]) => x >= c || x + width <= a || y >= d || y + height <= b);
    if (isFree && x >= left && y >= top) return [x, y];
  }
  return null;
}

function writeOnFrame(context, text, x, y, size, color, unit) {
  context.font = TEXT.replace("{}", size);
  context.lineJoin = "round";
  context.strokeStyle = HALO;
  context.lineWidth = 4 * unit;
  context.strokeText(text, x, y);
  context.fillStyle = color;
  context.fillText(text, x, y);
}

function drawScore(context, x, y, nodule, unit) {
  const [width, height] = [BAR_PX * unit, 4 * unit];
  context.fillStyle = HALO;
  context.fillRect(x - unit, y - height / 2 - unit, width + 2 * unit, height + 2 * unit);
  context.fillStyle = rgb(nodule.color_rgb.map((part) => part / 3));
  context.fillRect(x, y - height / 2, width, height);
  context.fillStyle = rgb(nodule.color_rgb);
  context.fillRect(x, y - height / 2, width * Math.min(1, nodule.score), height);
}

// ---- Depth: a tick every 5 mm, a figure every 10 mm, beside the frame ---------------------------------------------

function drawDepth(context, canvas, scale, bitmap, place, unit, gutter) {
  if (!scale) return;
  const pxPerMm = place.scale / scale.spacing_rc_mm[0];
  const tick = 5 * pxPerMm >= 9 * unit ? 5 : 10;
  const figure = 10 * pxPerMm >= 18 * unit ? 10 : 50;
  const depth = bitmap.height * scale.spacing_rc_mm[0];
  const right = gutter - 4 * unit;
  context.fillStyle = "#b9c4cf";
  context.strokeStyle = "#b9c4cf";
  context.lineWidth = Math.max(1, unit);
  context.font = TEXT.replace("{}", 11 * unit);
  context.textBaseline = "middle";
  context.textAlign = "right";
  for (let mm = 0; mm <= depth; mm += tick) {
    const y = Math.round(place.y + mm * pxPerMm) + 0.5;
    if (y < 0 || y > canvas.height) continue;
    context.beginPath();
    context.moveTo(right - (mm % 10 === 0 ? 9 : 5) * unit, y);
    context.lineTo(right, y);
    context.stroke();
    if (mm && mm % figure === 0 && y > 14 * unit && y < canvas.height - 6 * unit) context.fillText(String(mm), right - 12 * unit, y);
  }
  context.fillText("mm", right - 12 * unit, 9 * unit);
  context.textAlign = "left";
}
