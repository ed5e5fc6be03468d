// A picture of the frame that is shown, to be saved. The server makes it from that frame's own pixels and result.

const frameAddress = (path, head) => {
  const query = new URLSearchParams({ session: head.session_id, frame: head.frame_id, language });
  return `${location.pathname.replace(/[^/]*$/, "")}${path}?${query}`;
};

async function saveSnapshot() {
  const head = (frozen ?? current)?.head;
  if (!head || head.frame_id === null) return showNotice(W("mark.not_saved"), true);
  try {
    const answer = await fetch(frameAddress("snapshot", head));
    if (!answer.ok) return showNotice(await answer.text(), true);
    const name = answer.headers.get("content-disposition").match(/filename="(.+)"/)[1];
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await answer.blob());
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    showNotice(W("mark.saved", { name }), false);
  } catch (error) {
    showNotice(W("mark.unreachable"), true);
  }
  return undefined;
}

// The server keeps frames for some seconds only, and a frozen one may be saved much later.
const holdFrame = (head) => fetch(frameAddress("snapshot/hold", head)).catch(() => undefined);
