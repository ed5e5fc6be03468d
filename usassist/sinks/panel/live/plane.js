// Plane and side of the frame that is shown, as the person with the probe states them.

const PLANES = ["transverse", "longitudinal"];
const SIDES = ["right", "isthmus", "left"];
const NOTHING_SAID = { session_id: "", planes: [], nodules: [] };
let said = NOTHING_SAID; // what the server keeps of this session
let planeAsked = null; // {plane, side} that was requested and has not come back

function takeSaid(news) {
  said = news;
  writeCategories();
  render();
}

// What holds on a frame: the last statement on it or before it.
function planeAt(shown) {
  const head = shown?.head;
  if (!head || head.session_id !== said.session_id || head.frame_id === null) return { plane: null, side: null };
  return said.planes.findLast((item) => item.frame_id <= head.frame_id) ?? { plane: null, side: null };
}

// A statement is complete: what still holds of the other of the two is stated again.
function statePlane(name) {
  const held = planeAsked ?? planeAt(frozen ?? current);
  const stated = { plane: held.plane ?? undefined, side: held.side ?? undefined };
  stated[PLANES.includes(name) ? "plane" : "side"] = name;
  const words = [stated.plane, stated.side].filter(Boolean).map((word) => W(`plane.${word}`)).join(", ");
  planeAsked = requestMark({ type: "plane", ...stated }, "plane", words) ? stated : null;
}

function writePlane(shown) {
  const held = planeAt(shown);
  for (const name of [...PLANES, ...SIDES]) setButton(name, { pressed: name === held.plane || name === held.side });
  set("plane-since", held.plane || held.side ? W("mark.from", { frame: held.frame_id }) : "");
}
