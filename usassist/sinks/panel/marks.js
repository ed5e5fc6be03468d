// Marks on the frame that is shown, and whether the session is recorded.

const MARK_KINDS = ["bookmark", "wrong", "missed"];
const MARK_WORDS = { bookmark: "bookmark", wrong: "wrong", missed: "missed nodule" };
const NOT_RECORDED = {
  none: ", but nothing is recorded",
  closed: ", but nothing is recorded any more",
  stopped: ", but nothing is recorded any more",
  silent: ", but the recorder is silent",
};
const KEPT_WITHIN_MS = 2000; // a mark that is kept comes back over the bus, usually within a tenth of this
const SAID_MS = 6000;

let wishes = []; // marks that were asked for and have not come back
let saidUntil = 0;

function mark(kind) {
  const shown = frozen ?? current;
  if (!shown || shown.bitmap === null || shown.head.frame_id === null) return sayOfMark("not marked: no frame is shown", true);
  const { session_id, frame_id } = shown.head;
  const wish = { kind, frame_id, after: current?.head.t_ms ?? 0, until: performance.now() + KEPT_WITHIN_MS };
  if (!say(link, { say: "mark", session_id, frame_id, kind })) return loseMark(wish, "no connection to the stream");
  wishes.push(wish);
  return undefined;
}

// A mark counts only when the stream has published it: then every reader has it, and the recorder too.
function learnMarks(head) {
  for (const kind of MARK_KINDS) {
    const count = head.marks.counts[kind];
    set(`${kind}-count`, count ? `${count}` : "");
  }
  const isKept = (wish) =>
    head.marks.latest.some((item) => item.frame_id === wish.frame_id && item.kind === wish.kind && item.t_ms >= wish.after);
  for (const wish of wishes.filter(isKept)) {
    const doubt = NOT_RECORDED[head.recording.state] ?? "";
    sayOfMark(`frame ${wish.frame_id} marked: ${MARK_WORDS[wish.kind]}${doubt}`, doubt !== "");
  }
  wishes = wishes.filter((wish) => !isKept(wish));
}

function refuseMark(answer) {
  const index = wishes.findIndex((wish) => wish.frame_id === answer.frame_id && wish.kind === answer.kind);
  if (index >= 0) loseMark(wishes.splice(index, 1)[0], answer.refused);
}

function watchMarks(now) {
  for (const wish of wishes.filter((item) => now > item.until)) loseMark(wish, "no word from the stream");
  wishes = wishes.filter((wish) => now <= wish.until);
  if (saidUntil && now > saidUntil) {
    saidUntil = 0;
    set("mark-said", "");
  }
}

const loseMark = (wish, why) => sayOfMark(`frame ${wish.frame_id}: mark "${MARK_WORDS[wish.kind]}" was not kept: ${why}`, true);

function sayOfMark(text, isWarning) {
  set("mark-said", text);
  at("mark-said").classList.toggle("is-warning", isWarning);
  saidUntil = performance.now() + SAID_MS;
}

// ---- Recording -----------------------------------------------------------------------------------------------

const RECORDING_WORDS = {
  unknown: "",
  none: "NOT RECORDING",
  running: "REC",
  closed: "RECORDING CLOSED",
  stopped: "RECORDING STOPPED",
  silent: "RECORDER SILENT",
};

const twoDigits = (value) => String(Math.floor(value)).padStart(2, "0");
const clockText = (seconds) => [seconds / 3600, (seconds / 60) % 60, seconds % 60].map(twoDigits).join(":");
const bytesText = (bytes) => (bytes < 1e9 ? `${(bytes / 1e6).toFixed(0)} MB` : `${(bytes / 1e9).toFixed(1)} GB`);

// What is not known is not said to be so: without word from the server, the last known state is no state.
function writeRecording(isHeard) {
  const recording = current?.head.recording;
  const state = recording && isHeard ? recording.state : "unknown";
  const parts = [RECORDING_WORDS[state]];
  if (recording && ["running", "closed", "stopped"].includes(state)) {
    if (recording.elapsed_s !== null) parts.push(clockText(recording.elapsed_s));
    if (recording.recorded_bytes !== null) parts.push(bytesText(recording.recorded_bytes));
    if (recording.missed > 0) parts.push(`${recording.missed} MISSED`);
  }
  at("rec").dataset.rec = state;
  set("rec-text", parts.join("  "));
  set("rec-said", RECORDING_WORDS[state] === "REC" ? "recording" : RECORDING_WORDS[state].toLowerCase());
  const isProblem = state === "stopped" || state === "silent";
  const missed = state !== "unknown" && recording.missed > 0
    ? `${recording.missed} messages never reached the recorder: the recording lacks them`
    : "";
  const why = isProblem ? `${RECORDING_WORDS[state].toLowerCase()}: ${recording.reason}` : missed;
  at("rec").title = isProblem ? recording.reason : "";
  set("rec-why", why);
}
