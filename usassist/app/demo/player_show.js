// ---- Showing a frame -----------------------------------------------------------------------------------------

const isPair = () => clip.answers.length > 1;
const showsTwo = () => isPair() || at("view").value === "both";

async function showWanted() {
  if (drawing || clip === null || !frames().length) return;
  drawing = true;
  try {
    while (shown?.index !== index || shown.clip !== clip) {
      const wanted = index, of = clip;
      const found = await Promise.all(
        of.answers.map((answer) => (hasPixels(answer, wanted) ? packet(answer, wanted) : Promise.resolve(null))),
      );
      const bitmaps = await Promise.all(found.map((item) => (item ? createImageBitmap(item.jpeg) : null)));
      if (of !== clip) continue;
      const ids = new Set(found.filter(Boolean).map((item) => item.head.frame_id));
      if (ids.size > 1) throw new Error("the answers are of different frames");
      shown?.bitmaps.forEach((bitmap) => bitmap?.close());
      shown = { clip: of, index: wanted, heads: found.map((item) => item?.head ?? null), bitmaps };
      set("problem", "");
      render();
      readAhead();
    }
  } catch (error) {
    pause();
    set("problem", error.message === "unreachable" ? clip.words["player.unreachable"] : error.message);
  } finally {
    drawing = false;
  }
}

// What stands on a side: which answer, and whether with its outlines.
function plan() {
  if (isPair()) return [{ answer: 0, outline: at("view").value !== "plain" }, { answer: 1, outline: at("view").value !== "plain" }];
  if (showsTwo()) return [{ answer: 0, outline: false }, { answer: 0, outline: true }];
  return [{ answer: 0, outline: at("view").value !== "plain" }];
}

function render() {
  const two = showsTwo();
  at("sides").classList.toggle("is-two", two);
  root.querySelector('[data-side="right"]').hidden = !two;
  const parts = plan();
  parts.forEach((part, side) => renderSide(SIDES[side], part));
  const line = frames()[shown.index];
  at("scrub").value = String(shown.index);
  at("scrub").setAttribute("aria-valuetext", fill(clip.words["player.frame"], { frame: line.frame_id }));
  set("place", fill(clip.words["player.place"], { number: shown.index + 1, count: frames().length }));
  set("frame", fill(clip.words["player.frame"], { frame: line.frame_id }));
  set("time", fill(clip.words["player.time"], { time: seconds(line.t_s), length: seconds(frames().at(-1).t_s) }));
  drawStrip();
}

function renderSide(side, part) {
  const figure = root.querySelector(`[data-side="${side}"]`);
  canvas = at(side);
  const head = shown.heads[part.answer], bitmap = shown.bitmaps[part.answer];
  const state = head?.state ?? "no_result";
  figure.dataset.state = state;
  figure.style.setProperty("--state", rgb(STATE_COLORS[state]));
  figure.dataset.frame = head ? String(head.frame_id) : "";
  const name = isPair() ? `${"AB"[part.answer]}: ${clip.answers[part.answer].title}`
    : showsTwo() ? clip.words[part.outline ? "player.with" : "player.picture"] : clip.answers[0].title;
  set(`${side}-name`, name);
  const count = head?.nodules.length ?? 0;
  set(`${side}-state`, clip.words[`state.${state}`] + (count ? `: ${count}` : ""));
  set(`${side}-detail`, head === null ? clip.words["player.lost"] : head.detail);
  sizeCanvas(head?.image_hw_px);
  const nodules = head !== null && head.draw && part.outline ? head.nodules : [];
  drawScene(canvas, bitmap, nodules, {
    outline: true, box: false, calipers: true, line: 2, scale: head?.scale ?? null, selected: -1,
  });
  canvas.setAttribute("aria-label", `${name}, ${fill(clip.words["player.frame"], { frame: head?.frame_id ?? "–" })}`);
  listNodules(at(`${side}-nodules`), head !== null && head.draw && (part.outline || isPair()) ? head.nodules : []);
}

function listNodules(list, nodules) {
  const items = nodules.map((nodule, row) => {
    const item = document.createElement("li");
    const colour = document.createElement("b");
    colour.textContent = `${numberOf(nodule, row)} ${labelOf(nodule)} ${scoreText(nodule)} `;
    const size = document.createElement("small");
    const note = nodule.cut || !isInMm(nodule) ? `, ${certaintyText(nodule)}` : "";
    size.textContent = diametersOf(nodule).join(" × ") + note;
    item.append(colour, size);
    return item;
  });
  list.replaceChildren(...items);
}

// As high as the picture is in this width, and no higher than leaves room for the controls.
function sizeCanvas(imageHw) {
  const unit = window.devicePixelRatio || 1;
  if (imageHw) {
    const most = Math.max(260, 0.62 * window.innerHeight);
    canvas.style.height = `${Math.round(Math.min(most, (canvas.clientWidth * imageHw[0]) / imageHw[1]))}px`;
  }
  const width = Math.round(canvas.clientWidth * unit), height = Math.round(canvas.clientHeight * unit);
  if (width && height && (canvas.width !== width || canvas.height !== height)) Object.assign(canvas, { width, height });
}

// ---- The time line: a row per answer, each frame in the colour of its state, and its best score as height ------

function drawStrip() {
  const strip = at("strip"), unit = window.devicePixelRatio || 1;
  const width = Math.round(strip.clientWidth * unit), height = Math.round(44 * unit);
  if (!width) return;
  if (strip.width !== width || strip.height !== height) Object.assign(strip, { width, height });
  const context = strip.getContext("2d");
  context.fillStyle = "#12161b";
  context.fillRect(0, 0, width, height);
  const count = frames().length, row = height / clip.answers.length;
  clip.answers.forEach((answer, number) => {
    const base = (number + 1) * row - unit;
    answer.overview.frames.forEach((line, place) => {
      const x = (place / count) * width, w = Math.max(1, width / count);
      context.fillStyle = rgb(STATE_COLORS[line.state]);
      if (line.state === "finding") {
        const tall = Math.max(3 * unit, (row - 6 * unit) * (line.score ?? 0));
        context.fillRect(x, base - tall, w + 0.5, tall);
      } else {
        const tall = line.state === "no_finding" ? 3 * unit : row - 6 * unit;
        context.globalAlpha = line.state === "no_finding" ? 1 : place % 2 ? 0.9 : 0.55;
        context.fillRect(x, base - tall, w + 0.5, tall);
        context.globalAlpha = 1;
      }
    });
  });
  const x = ((shown.index + 0.5) / count) * width;
  context.fillStyle = "#fff";
  context.fillRect(x - unit, 0, 2 * unit, height);
}
