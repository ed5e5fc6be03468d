// Texts of a nodule. No length without its uncertainty beside it, and px are never written as mm.

// A nodule that is tracked keeps its number from frame to frame; one that is not has the number of its row.
const numberOf = (nodule, row) => (nodule.track_id >= 0 ? `N${nodule.track_id}` : `${row + 1}`);
const labelOf = (nodule) => WORDS[language][`label.${nodule.label}`] ?? nodule.label;
const isInMm = (nodule) => nodule.major_mm !== null;

// Of a nodule that the border of the scan cuts, only the least that its longest diameter can be is known.
const sizeText = (nodule) => {
  const unit = isInMm(nodule) ? "mm" : "px";
  const digits = unit === "mm" ? 1 : 0;
  const major = num(nodule[`major_${unit}`], digits);
  return nodule.cut ? `≥ ${major} ${unit}` : `${major} × ${num(nodule[`minor_${unit}`], digits)} ${unit}`;
};

const certaintyText = (nodule) => {
  if (nodule.cut) return W(isInMm(nodule) ? "size.cut" : "size.uncalibrated_cut");
  return isInMm(nodule) ? `± ${num(nodule.major_u95_mm, 1)} × ± ${num(nodule.minor_u95_mm, 1)} mm` : W("size.uncalibrated");
};

// One line for each caliper.
function diametersOf(nodule) {
  if (nodule.cut) return [sizeText(nodule)];
  if (!isInMm(nodule)) return [`${num(nodule.major_px)} px`, `${num(nodule.minor_px)} px`];
  return [
    `${num(nodule.major_mm, 1)} ± ${num(nodule.major_u95_mm, 1)} mm`,
    `${num(nodule.minor_mm, 1)} ± ${num(nodule.minor_u95_mm, 1)} mm`,
  ];
}

// Percent means the share of findings that are right, so only a calibrated score is shown in percent, at most 99.
const scoreText = (nodule) => (nodule.score_calibrated ? `${num(Math.min(99, 100 * nodule.score))} %` : num(nodule.score, 2));

// An estimate is labelled as one wherever it is shown.
const descriptorText = (descriptor) => `${descriptor.name} (${descriptor.basis}): ${descriptor.value}`;
const agreementText = (descriptor) => W("confirm.agreement", { value: descriptor.agreement || W("confirm.unknown") });
