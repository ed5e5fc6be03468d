// The column beside the frame: nodules, stream, engine.

let rowsOf = null; // the frozen scene whose rows are in the table: they stay as they are, so that they can be chosen

function writeNodules(head, view, shown) {
  if (frozen !== null && rowsOf === frozen) return;
  rowsOf = frozen;
  const nodules = head ? head.nodules : [];
  set("table-frame", shown && shown.head.frame_id !== null ? `frame ${shown.head.frame_id}` : "");
  const rows = nodules.flatMap((nodule, index) => {
    const row = document.createElement("tr");
    row.dataset.row = index;
    const cells = [numberOf(nodule, index), nodule.label, scoreText(nodule), sizeText(nodule)];
    cells.forEach((text, column) => {
      const cell = row.insertCell();
      if (column === 0) {
        const swatch = document.createElement("i");
        swatch.style.background = rgb(nodule.color_rgb);
        cell.append(swatch);
      }
      cell.append(column === 0 && frozen !== null ? chooseButton(nodule, index, text) : text);
      if (column > 1) cell.className = "num";
      if (column === 3) {
        const note = document.createElement("small");
        note.textContent = certaintyText(nodule);
        note.classList.toggle("is-warning", nodule.cut || nodule.major_mm === null);
        cell.append(note);
      }
    });
    return nodule.measures.length || nodule.descriptors.length ? [row, detailRow(nodule, index)] : [row];
  });
  at("rows").replaceChildren(...rows);
  const calibrated = nodules.some((nodule) => nodule.major_mm !== null && !nodule.cut);
  const notes = { no_finding: "The engine found nothing in this frame.", finding: calibrated ? "± gives the 95 % interval." : "" };
  set("table-note", notes[view.state] ?? `${view.headline}: nothing is listed.`);
  // The reliability of an estimate is the same for all nodules, so it is shown once below them.
  const said = nodules.flatMap((nodule) => nodule.descriptors).map((item) => `${item.name}, ${agreementText(item)}`);
  set("descriptor-note", [...new Set(said)].join("; "));
}

function detailRow(nodule, index) {
  const row = document.createElement("tr");
  row.dataset.row = index;
  row.className = "us-described";
  const cell = row.insertCell();
  cell.colSpan = 4;
  for (const text of nodule.measures) {
    const line = document.createElement("small");
    line.textContent = text;
    cell.append(line);
  }
  for (const descriptor of nodule.descriptors) {
    const line = document.createElement("small");
    line.textContent = descriptorText(descriptor);
    line.title = agreementText(descriptor);
    cell.append(line);
  }
  return row;
}

const number = (value, unit, digits = 0) => (value === null || value === undefined ? "–" : `${value.toFixed(digits)}${unit}`);

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
  set("stream-note", live.live ? "" : "last known");
  set("rate", `${number(health?.rate_hz, "", 1)} / ${fps(now).toFixed(1)} frames/s`);
  set("latency", `${number(health?.latency_p50_ms, "")} / ${number(health?.latency_p95_ms, " ms")}`);
  set("screen", `${number(head.counters.screen_p50_ms, "")} / ${number(head.counters.screen_p99_ms, " ms")}`);
  set("frames", health ? `${health.frames} / ${health.answered}` : "–");
  set("dropped", number(health?.dropped, ""));
  set("shown", `${head.counters.shown} / ${head.counters.skipped}`);
  const causes = Object.entries(head.counters.by_cause);
  if (head.counters.malformed) causes.push(["unreadable messages", head.counters.malformed]);
  at("causes-title").hidden = causes.length === 0;
  at("causes").replaceChildren(
    ...causes.map(([cause, count]) => {
      const line = document.createElement("div");
      const name = document.createElement("dt");
      const value = document.createElement("dd");
      name.textContent = cause.replaceAll("_", " ");
      value.textContent = count;
      line.append(name, value);
      return line;
    }),
  );
  set("error", health?.last_error ?? "");
}

function fps(now) {
  shownTimes = shownTimes.filter((time) => now - time <= 2000);
  return shownTimes.length / 2;
}
