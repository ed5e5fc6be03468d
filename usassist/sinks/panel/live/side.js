// The column beside the frame: nodules of the frame on the canvas, stream, engine.

let rowsOf = null; // the frozen scene whose rows are in the table: they stay as they are, so that they can be chosen
let rowsKey = ""; // what the rows that there are were made for; while it stays, only their texts change

function writeNodules(nodules, view, shown) {
  if (frozen !== null && rowsOf === frozen) return;
  rowsOf = frozen;
  const frame_id = shown?.head.frame_id ?? null;
  set("table-frame", frame_id === null ? "" : W("format.frame", { number: frame_id }));
  const key = JSON.stringify([frozen !== null, language, nodules.map((nodule) => [nodule.color_rgb, nodule.measures.length, nodule.descriptors.length])]);
  if (key !== rowsKey) {
    rowsKey = key;
    at("rows").replaceChildren(...nodules.flatMap(rowsFor));
  }
  const rows = at("rows").querySelectorAll("tr:not(.us-described)");
  nodules.forEach((nodule, index) => writeRow(rows[index], nodule, index));
  const inMm = nodules.some((nodule) => isInMm(nodule) && !nodule.cut);
  const notes = { no_finding: W("table.nothing"), finding: inMm ? W("table.interval") : "" };
  set("table-note", notes[view.state] ?? W("table.empty", { headline: headlineOf(view) }));
  // The reliability of an estimate is the same for all nodules, so it is shown once below them.
  const said = nodules.flatMap((nodule) => nodule.descriptors).map((item) => `${item.name}, ${agreementText(item)}`);
  set("descriptor-note", [...new Set(said)].join("; "));
}

function rowsFor(nodule, index) {
  const row = document.createElement("tr");
  row.dataset.row = index;
  for (let column = 0; column < 4; column += 1) {
    const cell = row.insertCell();
    if (column > 1) cell.className = "num";
  }
  const swatch = document.createElement("i");
  swatch.style.background = rgb(nodule.color_rgb);
  const name = frozen !== null ? chooseButton(nodule, index) : document.createElement("span");
  row.cells[0].append(swatch, name);
  row.cells[3].append(document.createElement("span"), document.createElement("small"));
  const lines = nodule.measures.length + nodule.descriptors.length;
  return lines ? [row, detailRow(lines, index)] : [row];
}

function detailRow(lines, index) {
  const row = document.createElement("tr");
  row.dataset.row = index;
  row.className = "us-described";
  const cell = row.insertCell();
  cell.colSpan = 4;
  for (let line = 0; line < lines; line += 1) {
    const text = document.createElement("small");
    text.lang = "en";
    cell.append(text);
  }
  return row;
}

const put = (node, text) => {
  if (node.textContent !== text) node.textContent = text;
};

function writeRow(row, nodule, index) {
  const [name, label, score, size] = row.cells;
  put(name.lastChild, numberOf(nodule, index));
  put(label, labelOf(nodule));
  put(score, scoreText(nodule));
  put(size.firstChild, sizeText(nodule));
  put(size.lastChild, certaintyText(nodule));
  size.lastChild.classList.toggle("is-warning", nodule.cut || !isInMm(nodule));
  const described = row.nextElementSibling;
  if (!described?.classList.contains("us-described")) return;
  const texts = [...nodule.measures, ...nodule.descriptors.map(descriptorText)];
  texts.forEach((text, line) => {
    const node = described.cells[0].children[line];
    put(node, text);
    const descriptor = nodule.descriptors[line - nodule.measures.length];
    node.title = descriptor ? agreementText(descriptor) : "";
  });
}

const number = (value, unit, digits = 0) => (value === null || value === undefined ? "–" : `${num(value, digits)}${unit}`);

function writeStream(live, now) {
  const head = current?.head;
  if (!head) return;
  const health = head.counters.health;
  set("source", head.source);
  set("engine", head.engine_id || "–");
  set("backend", head.backend || "–");
  set("engine-note", head.engine_note);
  set("point", head.point || "–");
  set("use", head.intended_use || "–");
  set("session", head.session_id ?? "–");
  at("stream").classList.toggle("us-old", !live.live);
  set("stream-note", live.live ? "" : W("stream.old"));
  set("rate", W("stream.per_s", { rate: number(health?.rate_hz, "", 1), here: num(fps(now), 1) }));
  set("latency", `${number(health?.latency_p50_ms, "")} / ${number(health?.latency_p95_ms, " ms")}`);
  set("screen", `${number(head.counters.screen_p50_ms, "")} / ${number(head.counters.screen_p99_ms, " ms")}`);
  set("frames", health ? `${health.frames} / ${health.answered}` : "–");
  set("dropped", number(health?.dropped, ""));
  const causes = Object.entries(head.counters.by_cause);
  if (head.counters.malformed) causes.push(["unreadable", head.counters.malformed]);
  at("causes-title").hidden = causes.length === 0;
  at("causes").replaceChildren(
    ...causes.map(([cause, count]) => {
      const line = document.createElement("div");
      const name = document.createElement("dt");
      const value = document.createElement("dd");
      name.textContent = W(`cause.${cause}`);
      value.textContent = count;
      line.append(name, value);
      return line;
    }),
  );
  set("error", health?.last_error ?? "");
}
