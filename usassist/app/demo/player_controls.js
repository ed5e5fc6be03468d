// ---- Moving --------------------------------------------------------------------------------------------------

function go(number, keepPlaying = false) {
  if (!frames().length) return;
  if (!keepPlaying) pause();
  index = Math.max(0, Math.min(number, frames().length - 1));
  showWanted();
}

function pause() {
  playing = false;
  playedFrom = null;
  if (clip === null) return;
  at("play").textContent = "▶";
  at("play").setAttribute("aria-label", clip.words["player.play"]);
  at("play").title = clip.words["player.play"];
}

function play() {
  if (frames().length < 2) return;
  if (index >= frames().length - 1) index = 0;
  playing = true;
  playedFrom = null;
  at("play").textContent = "❚❚";
  at("play").setAttribute("aria-label", clip.words["player.pause"]);
  at("play").title = clip.words["player.pause"];
  requestAnimationFrame(tick);
}

// Time runs only while frames come: where one has not arrived, the clip waits for it.
function tick(now) {
  if (!playing || !root.isConnected) return;
  requestAnimationFrame(tick);
  if (shown?.index !== index || shown.clip !== clip) {
    playedFrom = null;
    showWanted();
    return;
  }
  const lines = frames(), speed = Number(at("speed").value);
  playedFrom ??= { t_s: lines[index].t_s, now, speed };
  if (playedFrom.speed !== speed) playedFrom = { t_s: lines[index].t_s, now, speed }; // it was changed meanwhile
  const t_s = playedFrom.t_s + ((now - playedFrom.now) / 1000) * speed;
  let next = index;
  while (next + 1 < lines.length && lines[next + 1].t_s <= t_s) next += 1;
  if (next !== index) {
    index = next;
    showWanted();
    if (index >= lines.length - 1) pause();
  }
}

function changeSpeed(by) {
  const now = SPEEDS.indexOf(Number(at("speed").value));
  at("speed").value = String(SPEEDS[Math.max(0, Math.min(now + by, SPEEDS.length - 1))]);
}

// ---- Controls ------------------------------------------------------------------------------------------------

at("play").addEventListener("click", () => (playing ? pause() : play()));
at("start").addEventListener("click", () => go(0));
at("back").addEventListener("click", () => go(index - 1));
at("forward").addEventListener("click", () => go(index + 1));
at("scrub").addEventListener("input", () => go(Number(at("scrub").value)));
at("view").addEventListener("change", () => shown && render());
at("strip").addEventListener("click", (event) => {
  const box = at("strip").getBoundingClientRect();
  go(Math.floor(((event.clientX - box.left) / box.width) * frames().length));
});

const KEYS = {
  " ": () => (playing ? pause() : play()),
  ArrowLeft: (event) => go(index - (event.shiftKey ? 10 : 1)),
  ArrowRight: (event) => go(index + (event.shiftKey ? 10 : 1)),
  Home: () => go(0),
  End: () => go(frames().length - 1),
  "+": () => changeSpeed(1),
  "-": () => changeSpeed(-1),
};

function onKey(event) {
  if (!root.isConnected) {
    document.removeEventListener("keydown", onKey);
    return;
  }
  if (event.ctrlKey || event.altKey || event.metaKey || !(event.key in KEYS) || root.offsetParent === null) return;
  const target = event.target;
  const inside = root.contains(target);
  const free = target === document.body || (inside && !["SELECT", "BUTTON"].includes(target.tagName));
  if (!free && !(inside && target.tagName === "BUTTON" && event.key !== " ")) return;
  event.preventDefault();
  KEYS[event.key](event);
}
document.addEventListener("keydown", onKey);

new ResizeObserver(() => shown && shown.clip === clip && render()).observe(root);

// ---- A clip from Gradio --------------------------------------------------------------------------------------

function sayWords() {
  const words = clip.words;
  const titles = { start: "player.start", back: "player.back", forward: "player.forward" };
  for (const [name, key] of Object.entries(titles)) {
    at(name).title = words[key];
    at(name).setAttribute("aria-label", words[key]);
  }
  set("speed-word", words["player.speed"]);
  set("view-word", words["player.view"]);
  set("keys", words["player.keys"]);
  at("scrub").setAttribute("aria-label", words["player.scrub"]);
  at("strip").setAttribute("aria-label", words["player.timeline"]);
  at("strip").title = words["player.timeline"];
  for (const option of at("view").options) option.textContent = words[`player.view_${option.value}`];
  set("simulated", words["player.simulated"]);
  at("simulated").title = words["player.simulated_why"];
}

async function load(value) {
  const turn = (loading += 1);
  const given = JSON.parse(value);
  const same = clip !== null && JSON.stringify(clip.paths) === JSON.stringify(given.answers.map((item) => item.path));
  try {
    const answers = same
      ? clip.answers.map((answer, number) => Object.assign(answer, given.answers[number]))
      : await Promise.all(
          given.answers.map(async (item) => ({
            ...item,
            overview: await (await fetched(`${item.path}/overview`)).json(),
            packets: new Map(),
            asked: new Set(),
          })),
        );
    if (turn !== loading) return;
    if (clip !== null) pause();
    language = given.language;
    WORDS[language] = given.words;
    clip = { ...given, paths: given.answers.map((item) => item.path), answers };
    sayWords();
    pause();
    at("simulated").hidden = !clip.simulated;
    set("about-short", clip.about.map((item) => item.short).join(" | "));
    set("about-long", [...new Set(clip.about.map((item) => item.long))].join(" | "));
    at("view").querySelector('[value="both"]').hidden = isPair();
    if (isPair() && at("view").value === "both") at("view").value = "outline";
    at("scrub").max = String(Math.max(0, frames().length - 1));
    root.dataset.state = frames().length ? "ready" : "none";
    if (!same) index = clip.first ?? 0;
    showWanted();
    if (same && shown) {
      shown.clip = clip;
      render();
    }
  } catch (error) {
    set("problem", error.message === "unreachable" ? given.words["player.unreachable"] : error.message);
  }
}

let lastValue = "", lastSeek = "";
function take() {
  if (props.value && props.value !== lastValue) {
    lastValue = props.value;
    load(props.value);
  }
  if (props.seek && props.seek !== lastSeek) {
    lastSeek = props.seek;
    go(Number(props.seek.split(":")[0]));
  }
}
watch(["value", "seek"], take);
take();

window.usassistDemo = {
  get shown() {
    if (shown === null || shown.clip !== clip) return null;
    return { index: shown.index, frames: shown.heads.map((head) => head?.frame_id ?? null), heads: shown.heads };
  },
  get count() {
    return frames().length;
  },
  get playing() {
    return playing;
  },
  place(side) {
    canvas = at(side);
    return fit(canvas, shown.bitmaps[plan()[SIDES.indexOf(side)].answer]);
  },
};
