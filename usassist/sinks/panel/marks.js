// Marks on the frame that is shown, and the state of the recording.

const MARK_KINDS = ["bookmark", "wrong", "missed"];
const MARK_WORDS = { bookmark: "bookmark", wrong: "wrong", missed: "missed nodule" };
const NOT_RECORDED = {
  none: ", but nothing is recorded",
  closed: ", but nothing is recorded any more",
  stopped: ", but nothing is recorded any more",
  silent: ", but the recorder is silent",
};
const KEPT_WITHIN_MS = 2000; // an accepted mark comes back over the bus, usually within a tenth of this
const NOTICE_MS = 6000;

let requests = []; // marks that were requested and have not come back
let noticeUntil = 0;

const mark = (kind) => requestMark({ type: "mark", kind }, kind, MARK_WORDS[kind]);

// True where the request is on its way.
function requestMark(message, kind, words, track_id = -1) {
  const shown = frozen ?? current;
  if (!shown || shown.bitmap === null || shown.head.frame_id === null) {
    showNotice("not marked: no frame is shown", true);
    return false;
  }
  const { session_id, frame_id } = shown.head;
  const request = { kind, words, track_id, frame_id, after: current?.head.t_ms ?? 0, until: performance.now() + KEPT_WITHIN_MS };
  if (!send(link, { ...message, session_id, frame_id })) {
    failMark(request, "no connection to the stream");
    return false;
  }
  requests.push(request);
  return true;
}

// A mark counts only when the stream has published it: then every reader has it, and the recorder too.
function confirmMarks(head) {
  for (const kind of MARK_KINDS) {
    const count = head.marks.counts[kind];
    set(`${kind}-count`, count ? `${count}` : "");
  }
  const isAccepted = (request) =>
    head.marks.latest.some((item) => isAbout(item, request) && item.t_ms >= request.after);
  for (const request of requests.filter(isAccepted)) {
    const doubt = NOT_RECORDED[head.recording.state] ?? "";
    if (request.kind === "descriptors") endConfirming(request.track_id);
    showNotice(`frame ${request.frame_id} marked: ${request.words}${doubt}`, doubt !== "");
  }
  requests = requests.filter((request) => !isAccepted(request));
  if (!requests.some((request) => request.kind === "plane")) planeAsked = null;
}

function refuseMark(answer) {
  const index = requests.findIndex((request) => isAbout(answer, request));
  if (index >= 0) failMark(requests.splice(index, 1)[0], answer.refused);
}

const isAbout = (item, request) =>
  item.frame_id === request.frame_id && item.kind === request.kind && (item.track_id ?? -1) === request.track_id;

function expireMarks(now) {
  for (const request of requests.filter((item) => now > item.until)) failMark(request, "no answer from the stream");
  requests = requests.filter((request) => now <= request.until);
  if (noticeUntil && now > noticeUntil) {
    noticeUntil = 0;
    set("mark-said", "");
  }
}

function failMark(request, why) {
  if (request.kind === "plane") planeAsked = null;
  if (request.kind === "descriptors") sayOnForm(`not kept: ${why}`);
  showNotice(`frame ${request.frame_id}: mark "${request.words}" was not kept: ${why}`, true);
}

function showNotice(text, isWarning) {
  set("mark-said", text);
  at("mark-said").classList.toggle("is-warning", isWarning);
  noticeUntil = performance.now() + NOTICE_MS;
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

// Without packets from the server the last known state is not shown as the present one.
function writeRecording(isConnected) {
  const recording = current?.head.recording;
  const state = recording && isConnected ? recording.state : "unknown";
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
    ? `${recording.missed} messages never reached the recorder and are missing from the recording`
    : "";
  const why = isProblem ? `${RECORDING_WORDS[state].toLowerCase()}: ${recording.reason}` : missed;
  at("rec").title = isProblem ? recording.reason : "";
  set("rec-why", why);
}
