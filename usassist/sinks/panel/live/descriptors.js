// Confirming descriptors: on a frozen frame a nodule is chosen, and a clinician says words about it. An estimate of the
// engine stands beside the words and chooses none of them.

const DESCRIPTORS = @DESCRIPTORS@;

const nameOfDescriptor = ({ name, text }) => clinical(`descriptor.${name}`, text);

let selected = null; // {row, nodule, words}: words is descriptor → set of chosen words

const selectedRow = () => (selected !== null && frozen !== null ? selected.row : -1);
const nameOf = (nodule) => (nodule.track_id >= 1 ? W("confirm.nodule", { name: `N${nodule.track_id}` }) : W("confirm.no_name"));

// ---- Choosing a nodule ---------------------------------------------------------------------------------------

function chooseButton(nodule, row) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "us-choose";
  button.setAttribute("aria-label", W("confirm.choose", { name: nameOf(nodule), row: row + 1 }));
  button.title = button.getAttribute("aria-label");
  return button;
}

function choose(row) {
  if (frozen === null) {
    showNotice(W("confirm.freeze"), true);
    return;
  }
  const nodule = frozen.view.draw ? frozen.head.nodules[row] : undefined;
  if (nodule) openForm(row, nodule);
}

at("rows").addEventListener("click", (event) => {
  const row = event.target.closest("tr[data-row]");
  if (row) choose(Number(row.dataset.row));
});

canvas.addEventListener("click", (event) => {
  if (root.classList.contains("is-scaling") || wasDragged()) return; // clicks are points of a scale
  const shown = frozen ?? current;
  const view = frozen ? frozen.view : viewNow(performance.now());
  if (!shown?.bitmap || !view.draw) return;
  const box = canvas.getBoundingClientRect();
  const place = fit(canvas, shown.bitmap);
  const x = (((event.clientX - box.left) * canvas.width) / box.width - place.x) / place.scale;
  const y = (((event.clientY - box.top) * canvas.height) / box.height - place.y) / place.scale;
  const row = shown.head.nodules.findLastIndex((nodule) => isInside(nodule.contour, x, y));
  if (row >= 0) choose(row);
});

function isInside(polygon, x, y) {
  let inside = false;
  polygon.forEach(([x1, y1], index) => {
    const [x2, y2] = polygon[(index || polygon.length) - 1];
    if (y1 > y !== y2 > y && x < ((x2 - x1) * (y - y1)) / (y2 - y1) + x1) inside = !inside;
  });
  return inside;
}

// ---- The form ------------------------------------------------------------------------------------------------

const confirmedOf = (track_id) => said.nodules.find((item) => item.track_id === track_id);

function openForm(row, nodule) {
  const hasIdentity = nodule.track_id >= 1;
  const before = (hasIdentity && said.session_id === frozen.head.session_id && confirmedOf(nodule.track_id)?.words) || {};
  const words = Object.fromEntries(DESCRIPTORS.map(({ name }) => [name, new Set(before[name] ?? [])]));
  selected = { row, nodule, words };
  set("form-title", nameOf(nodule));
  set("form-frame", W("format.frame", { number: frozen.head.frame_id }));
  at("form-groups").replaceChildren(...(hasIdentity ? DESCRIPTORS.map((descriptor) => groupOf(descriptor, nodule)) : []));
  const others = nodule.descriptors.filter((item) => !DESCRIPTORS.some(({ name }) => name === item.name));
  set("form-estimates", others.map(descriptorText).join("; "));
  sayOnForm(hasIdentity ? "" : W("confirm.untracked"));
  at("confirm").hidden = !hasIdentity;
  at("form").hidden = false;
  writeChosen();
  at("form").scrollIntoView({ block: "nearest" });
  render();
}

function groupOf(descriptor, nodule) {
  const group = document.createElement("div");
  group.setAttribute("role", "group");
  group.setAttribute("aria-label", nameOfDescriptor(descriptor));
  const title = document.createElement("h3");
  title.textContent = nameOfDescriptor(descriptor);
  const estimate = nodule.descriptors.find((item) => item.name === descriptor.name);
  const isWrongPlane = descriptor.name === "shape" && planeAt(frozen).plane === "longitudinal";
  if (estimate || isWrongPlane) {
    const note = document.createElement("small");
    note.textContent = isWrongPlane ? W("confirm.wrong_plane") : `${estimate.basis}: ${estimate.value}`;
    note.title = isWrongPlane ? "" : agreementText(estimate);
    note.classList.toggle("is-warning", isWrongPlane);
    title.append(note);
  }
  const buttons = Object.entries(descriptor.words).map(([word, text]) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = clinical(`word.${descriptor.name}.${word}`, text);
    Object.assign(button.dataset, { descriptor: descriptor.name, word });
    button.addEventListener("click", () => chooseWord(descriptor, word));
    return button;
  });
  group.append(title, ...buttons);
  return group;
}

function chooseWord(descriptor, word) {
  const chosen = selected.words[descriptor.name];
  const isNew = !chosen.has(word);
  const excludes = (other) => !descriptor.several || descriptor.alone.includes(word) || descriptor.alone.includes(other);
  for (const other of [...chosen]) if (isNew && excludes(other)) chosen.delete(other);
  if (isNew) chosen.add(word);
  else chosen.delete(word);
  writeChosen();
}

function writeChosen() {
  for (const button of at("form-groups").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(selected.words[button.dataset.descriptor].has(button.dataset.word)));
  }
  at("confirm").disabled = Object.values(selected.words).every((words) => words.size === 0);
}

at("confirm").addEventListener("click", () => {
  if (selected === null || frozen === null) return;
  const { nodule, words } = selected;
  const descriptors = Object.fromEntries(Object.entries(words).filter(([, chosen]) => chosen.size).map(([name, chosen]) => [name, [...chosen]]));
  sayOnForm("");
  const { track_id } = nodule;
  requestMark({ type: "descriptors", track_id, descriptors }, "descriptors", W("mark.descriptors", { track: track_id }), track_id);
});

const sayOnForm = (text) => set("form-said", text);

function endConfirming(track_id) {
  if (selected?.nodule.track_id === track_id) closeForm();
}

function closeForm() {
  selected = null;
  at("form").hidden = true;
  set("choose-note", frozen !== null && frozen.view.draw && frozen.head.nodules.length ? W("confirm.how") : "");
  render();
}

at("form-close").addEventListener("click", closeForm);
