// Words in the language of the reader, and the settings that are kept in this browser.

const WORDS = @WORDS@; // language → key → text; what stands in braces is filled in
const DEFAULTS = { language: "", theme: "dark", line: 2, outline: true, box: false, calipers: true, zoom: { k: 1, x: 0.5, y: 0.5 } };
const SETTINGS_KEY = "usassist.settings";

const kept = { ...DEFAULTS };
try {
  const before = JSON.parse(localStorage.getItem(SETTINGS_KEY) ?? "{}");
  for (const name of Object.keys(DEFAULTS)) if (typeof before[name] === typeof DEFAULTS[name]) kept[name] = before[name];
} catch { /* without storage, or with a damaged one, the defaults hold */ }

function keep(name, value) {
  kept[name] = value;
  try {
    localStorage.setItem(SETTINGS_KEY, JSON.stringify(kept));
  } catch { /* without storage a setting lasts until the page is left */ }
}

const languageOfBrowser = () => navigator.languages.map((code) => code.slice(0, 2)).find((code) => code in WORDS) ?? "en";
let language = kept.language in WORDS ? kept.language : languageOfBrowser();

const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
const W = (key, values = {}) => fill(WORDS[language][key] ?? WORDS.en[key] ?? key, values);
// English has the words of the clinical tables themselves.
const clinical = (key, english) => (language === "en" ? english : (WORDS[language][key] ?? english));
const num = (value, digits = 0) => value.toFixed(digits).replace(".", WORDS[language]["format.decimal"]);

// The server's reasons are English. Those of the closed list, "detail", are found again in it; another is shown as it is.
const REASONS = Object.entries(WORDS.en)
  .filter(([key]) => key.startsWith("detail."))
  .map(([key, text]) => {
    const names = [...text.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    const pattern = text.replace(/[.*+?^$()|[\]\\]/g, "\\$&").replace(/\{\w+\}/g, "(.+)");
    return { key, names, pattern: new RegExp(`^${pattern}$`) };
  });

function reasonWords(text) {
  if (language === "en") return { text, lang: "en" };
  for (const { key, names, pattern } of REASONS) {
    const match = pattern.exec(text);
    if (!match) continue;
    const local = (value) => (/^\d+\.\d+$/.test(value) ? value.replace(".", WORDS[language]["format.decimal"]) : value);
    return { text: W(key, Object.fromEntries(names.map((name, index) => [name, local(match[index + 1])]))), lang: language };
  }
  return { text, lang: "en" };
}

// Texts of the page that never change but with the language: data-w is the text, data-w-label and data-w-title attributes.
function writeWords() {
  for (const node of document.querySelectorAll(":is(#usassist, #us-top) [data-w]")) node.textContent = W(node.dataset.w);
  for (const node of document.querySelectorAll(":is(#usassist, #us-top) [data-w-label]")) node.setAttribute("aria-label", W(node.dataset.wLabel));
  for (const node of document.querySelectorAll("#usassist [data-w-title]")) node.title = W(node.dataset.wTitle);
  document.documentElement.lang = language;
}

function applyTheme() {
  const isDark = kept.theme === "dark" || (kept.theme === "system" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.body.classList.toggle("dark", isDark);
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", applyTheme);
applyTheme();
