// The WebSocket: packets in, and an acknowledgement for each ("done", with the frame where it was drawn for the first
// time). The server keeps only a few unacknowledged packets in flight, so that none grows old.

function receive(data, socket) {
  const now = performance.now();
  const length = new DataView(data).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
  delay = delayOf(head.t_ms, now);
  lastPacket = now;
  const packet = { head, jpeg: new Uint8Array(data, 4 + length), received: now, delay, socket };
  if (pending !== null) {
    if (!sameFrame(pending.head, head)) counts.dropped += 1;
    send(pending.socket, { type: "done" }); // replaced by a newer packet
  }
  pending = packet;
  decodeNext();
}

// In another tab of the page nothing is decoded; state and table go on.
const isOnPage = () => canvas.clientWidth > 0;
const sameFrame = (a, b) => a.session_id === b.session_id && a.frame_id === b.frame_id;

async function decodeNext() {
  if (decoding || pending === null) return;
  const packet = pending;
  pending = null;
  decoding = true;
  let isNew = false;
  try {
    if (current !== null && current.bitmap !== null && sameFrame(current.head, packet.head)) {
      packet.bitmap = current.bitmap; // the same frame again, with newer texts
    } else {
      packet.bitmap = packet.jpeg.length && isOnPage() ? await createImageBitmap(new Blob([packet.jpeg], { type: "image/jpeg" })) : null;
      isNew = packet.bitmap !== null;
      release(current);
    }
    delete packet.jpeg;
    current = packet;
  } catch (error) {
    isNew = false;
    release(current);
    current = { ...packet, bitmap: null, head: { ...packet.head, ...blank(WORDS.en["detail.undecodable"]), nodules: [] } };
  } finally {
    decoding = false;
  }
  try {
    render();
    if (isNew) countDrawn(packet);
  } finally {
    const seen = isNew && frozen === null && document.visibilityState === "visible";
    send(packet.socket, seen ? { type: "done", session_id: packet.head.session_id, frame_id: packet.head.frame_id } : { type: "done" });
  }
  confirmMarks(packet.head);
  confirmScale(packet.head);
  decodeNext();
}

function send(socket, message) {
  if (socket === null || socket.readyState !== WebSocket.OPEN) return false;
  socket.send(JSON.stringify(message));
  return true;
}

function release(scene) {
  if (scene?.bitmap && scene.bitmap !== frozen?.bitmap) scene.bitmap.close();
}

// ---- Connection ----------------------------------------------------------------------------------------------

const RETRY_MIN_MS = 250;
const RETRY_MAX_MS = 4000;
let retryMs = RETRY_MIN_MS;
let link = null;
function connect() {
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${location.pathname.replace(/[^/]*$/, "")}live`);
  socket.binaryType = "arraybuffer";
  link = socket;
  socket.onopen = () => takeSaid(NOTHING_SAID); // the server sends what it has, and may be another one
  socket.onmessage = (event) => {
    if (typeof event.data === "string") {
      const message = JSON.parse(event.data);
      if (message.said) takeSaid(message.said);
      else if (message.kind === "scale") takeScale(message);
      else refuseMark(message);
      return;
    }
    connected = everConnected = true;
    retryMs = RETRY_MIN_MS;
    rejected = "";
    receive(event.data, socket);
  };
  socket.onclose = (event) => {
    connected = false;
    if (event.code === 1008 || event.code === 1013) rejected = event.reason;
    render();
    setTimeout(connect, retryMs);
    retryMs = Math.min(retryMs * 2, RETRY_MAX_MS);
  };
}
