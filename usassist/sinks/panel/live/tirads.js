// Categories of the nodules whose descriptors a clinician has confirmed. They come from the server; no table is here.

const SYSTEMS = @SYSTEMS@;
const SYSTEM_KEY = "usassist.tirads";

let systemId = SYSTEMS[0].id;
try {
  const kept = localStorage.getItem(SYSTEM_KEY);
  if (SYSTEMS.some((system) => system.id === kept)) systemId = kept;
} catch { /* without storage the choice lasts until the page is left */ }

at("system").replaceChildren(...SYSTEMS.map((system) => {
  const option = new Option(`${system.name} ${system.edition}`, system.id);
  option.title = system.source;
  return option;
}));
at("system").value = systemId;
at("system").addEventListener("change", () => {
  systemId = at("system").value;
  try {
    localStorage.setItem(SYSTEM_KEY, systemId);
  } catch { /* as above */ }
  writeCategories();
});

function writeCategories() {
  at("tirads").hidden = said.nodules.length === 0;
  at("system").title = SYSTEMS.find((system) => system.id === systemId).source;
  at("categories").replaceChildren(...said.nodules.map(categoryOf));
}

const wordsText = (words) =>
  DESCRIPTORS.filter(({ name }) => words[name]).map((descriptor) => words[descriptor.name].map((word) => clinical(`word.${descriptor.name}.${word}`, descriptor.words[word])).join(" + ")).join(" · ");
const namesText = (names) => names.map((name) => nameOfDescriptor(DESCRIPTORS.find((item) => item.name === name))).map((text) => (language === "de" ? text : text.toLowerCase())).join(", ");

function categoryOf(nodule) {
  const found = nodule.categories[systemId];
  const block = document.createElement("div");
  block.className = "us-category";
  block.dataset.track = nodule.track_id;
  const line = (tag, text, kind = "") => {
    const node = document.createElement(tag);
    node.textContent = text;
    node.className = kind;
    block.append(node);
  };
  if (found.level) {
    const points = found.points === null ? "" : `, ${W(found.points === 1 ? "tirads.point" : "tirads.points", { points: found.points })}`;
    line("b", `N${nodule.track_id}: ${found.level}${points}`);
    const meaning = clinical(`meaning.${found.level.replaceAll(" ", "-")}`, found.meaning);
    line("span", `${meaning}, ${W("tirads.risk", { risk: found.risk_text })}`);
    line("span", W("tirads.fna", { size: found.fna_text }));
    line("span", W("tirads.follow_up", { size: found.follow_up_text }));
    if (found.pattern) line("span", W("tirads.pattern", { pattern: found.pattern }), "us-soft");
    if (found.note) line("span", found.note, "is-warning");
  } else {
    line("b", `N${nodule.track_id}: ${W("tirads.none")}`);
    line("span", `${found.reason || W("tirads.unconfirmed")}: ${namesText(found.missing)}`, "is-warning");
  }
  line("span", W("tirads.confirmed", { frame: nodule.frame_id, words: wordsText(nodule.words) }), "us-soft");
  return block;
}
writeCategories();
