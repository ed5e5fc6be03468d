// Marks on the frame that is shown, and the state of the recording.

const MARK_KINDS = ["bookmark", "wrong", "missed"];
const NOT_RECORDED = {
  none: "mark.not_recorded",
  closed: "mark.not_recorded_any_more",
  stopped: "mark.not_recorded_any_more",
  silent: "mark.recorder_silent",
};
const doubtOf = (head) => (head.recording.state in NOT_RECORDED ? W(NOT_RECORDED[head.recording.state]) : "");
const KEPT_WITHIN_MS = 2000; // an accepted mark comes back over the bus, usually within a tenth of this
const NOTICE_MS = 6000;
const WARNED_MS = 1000;

let requests = []; // marks that were requested and have not come back
let noticeUntil = 0;
let warnedUntil = 0;

const mark = (kind) => requestMark({ type: "mark", kind }, kind, W(`mark.${kind}`));

// True where the request is on its way.
function requestMark(message, kind, words, track_id = -1) {
  const shown = frozen ?? current;
  if (!shown || shown.bitmap === null || shown.head.frame_id === null) {
    showNotice(W("mark.none"), true);
    return false;
  }
  const { session_id, frame_id } = shown.head;
  const request = { kind, words, track_id, frame_id, after: current?.head.t_ms ?? 0, until: performance.now() + KEPT_WITHIN_MS };
  if (!send(link, { ...message, session_id, frame_id })) {
    failMark(request, W("mark.no_stream"));
    return false;
  }
  requests.push(request);
  return true;
}

// A mark counts only when the stream has published it: then every reader has it, and the recorder too.
function confirmMarks(head) {
  for (const kind of MARK_KINDS) {
    const count = head.marks.counts[kind];
    setButton(kind, { count: count ? `${count}` : "" });
  }
  const isAccepted = (request) =>
    head.marks.latest.some((item) => isAbout(item, request) && item.t_ms >= request.after);
  for (const request of requests.filter(isAccepted)) {
    const doubt = doubtOf(head);
    if (request.kind === "descriptors") endConfirming(request.track_id);
    showNotice(W("mark.done", { frame: request.frame_id, what: request.words }) + doubt, doubt !== "", false);
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
  for (const request of requests.filter((item) => now > item.until)) failMark(request, W("mark.no_answer"));
  requests = requests.filter((request) => now <= request.until);
  if (noticeUntil && now > noticeUntil) {
    noticeUntil = 0;
    set("mark-said", "");
  }
}

function failMark(request, why) {
  if (request.kind === "plane") planeAsked = null;
  if (request.kind === "descriptors") sayOnForm(W("confirm.not_kept", { reason: why }));
  showNotice(W("mark.failed", { frame: request.frame_id, what: request.words, reason: why }), true);
}

// That something was not done stands for a moment before anything else replaces it.
function showNotice(text, isWarning, isRefusal = isWarning) {
  const now = performance.now();
  if (!isRefusal && now < warnedUntil) return;
  if (isRefusal) warnedUntil = now + WARNED_MS;
  set("mark-said", text);
  at("mark-said").classList.toggle("is-warning", isWarning);
  noticeUntil = now + NOTICE_MS;
}

// ---- Recording -----------------------------------------------------------------------------------------------

const twoDigits = (value) => String(Math.floor(value)).padStart(2, "0");
const clockText = (seconds) => [seconds / 3600, (seconds / 60) % 60, seconds % 60].map(twoDigits).join(":");
const bytesText = (bytes) => (bytes < 1e9 ? `${num(bytes / 1e6)} MB` : `${num(bytes / 1e9, 1)} GB`);

// Without packets from the server the last known state is not shown as the present one.
function writeRecording(isConnected) {
  const recording = current?.head.recording;
  const state = recording && isConnected ? recording.state : "unknown";
  const word = W(`recording.${state}`);
  const parts = [word];
  let lost = 0;
  if (recording && ["running", "closed", "stopped"].includes(state)) {
    if (recording.elapsed_s !== null) parts.push(clockText(recording.elapsed_s));
    if (recording.recorded_bytes !== null) parts.push(bytesText(recording.recorded_bytes));
    lost = recording.missed;
  }
  at("rec").dataset.rec = state;
  set("rec-text", parts.join("  "));
  set("rec-lost", lost > 0 ? W("recording.lost", { count: lost }) : "");
  set("rec-said", state === "running" ? W("recording.said") : word.toLowerCase());
  const isProblem = state === "stopped" || state === "silent";
  const missed = state !== "unknown" && recording.missed > 0
    ? W(recording.missed === 1 ? "recording.missed_one" : "recording.missed", { count: recording.missed })
    : "";
  at("rec").title = isProblem ? recording.reason : "";
  at("rec-lost").title = missed;
  set("rec-why", isProblem ? `${word.toLowerCase()}: ${recording.reason}` : missed);
}
