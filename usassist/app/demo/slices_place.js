// ---- Where planes lie: DICOM's patient coordinates (x to the left, y to the back, z to the head, mm) ------------

const LETTERS = [["L", "R"], ["P", "A"], ["H", "F"]]; // + and − of x, y, z
const RIGHT_AND_DOWN = [ // what a reader expects, by the axis that the planes are stacked along
  [[0, 1, 0], [0, 0, -1]], // sagittal: back to the right, feet down
  [[1, 0, 0], [0, 0, -1]], // coronal: left to the right, feet down
  [[1, 0, 0], [0, 1, 0]], // axial: left to the right, back down
];

const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
const lengthOf = (a) => Math.hypot(...a);
const unitOf = (a) => a.map((value) => value / lengthOf(a));
const negated = (a) => a.map((value) => -value);
const largest = (a) => a.reduce((best, value, place) => (Math.abs(value) > Math.abs(a[best]) ? place : best), 0);

// {spacing: [mm of a column, mm of a row], swap, right, down, normal, origin, step}: how planes are turned for display.
function placing(view) {
  const column = (number) => [0, 1, 2].map((row) => view.affine[row][number]);
  const [i, j, k] = [0, 1, 2].map(column);
  const normal = unitOf(cross(i, j));
  const place = { spacing: [lengthOf(i), lengthOf(j)], swap: false, right: 1, down: 1, normal, k, origin: column(3) };
  const [iu, ju] = [unitOf(i), unitOf(j)];
  if (view.is_placed) {
    const [toRight, toDown] = RIGHT_AND_DOWN[largest(normal)];
    place.swap = Math.abs(dot(ju, toRight)) > Math.abs(dot(iu, toRight));
    place.right = dot(place.swap ? ju : iu, toRight) < 0 ? -1 : 1;
    place.down = dot(place.swap ? iu : ju, toDown) < 0 ? -1 : 1;
    if (dot(normal, k) < 0) place.normal = negated(normal);
  }
  const axes = place.swap ? [ju, iu] : [iu, ju];
  place.towards = { right: axes[0].map((value) => value * place.right), down: axes[1].map((value) => value * place.down) };
  return place;
}

// Letters of a direction, the greatest first; a second one from about 17 degrees on.
function lettersOf(towards) {
  const order = [0, 1, 2].sort((a, b) => Math.abs(towards[b]) - Math.abs(towards[a]));
  return order
    .filter((axis) => Math.abs(towards[axis]) > 0.3)
    .map((axis) => LETTERS[axis][towards[axis] > 0 ? 0 : 1])
    .join("");
}

// Along the normal of the planes, mm; of axial planes that is z of their first voxel.
const positionOf = (place, number) => dot(place.normal, place.origin.map((value, axis) => value + number * place.k[axis]));

// From voxels (column, row; a voxel spans 1) to px of a canvas. Millimetres are as long in both directions.
function matrixOf(place, [rows, columns], canvas, unit) {
  const [wide, high] = [columns * place.spacing[0], rows * place.spacing[1]];
  const [across, along] = place.swap ? [high, wide] : [wide, high];
  const scale = Math.min(canvas.width / across, canvas.height / along) * zoom.k;
  const [a, b, c, d] = place.swap
    ? [0, place.down * place.spacing[0] * scale, place.right * place.spacing[1] * scale, 0]
    : [place.right * place.spacing[0] * scale, 0, 0, place.down * place.spacing[1] * scale];
  const e = canvas.width / 2 + zoom.x * unit - (a * columns + c * rows) / 2;
  const f = canvas.height / 2 + zoom.y * unit - (b * columns + d * rows) / 2;
  return new DOMMatrix([a, b, c, d, e, f]);
}
