// A picture of what is shown, to be saved: the canvas as it is, with state, frame and engine in lines of their own below.

function saveSnapshot() {
  const shown = frozen ?? current;
  if (!shown?.bitmap || shown.head.frame_id === null) return showNotice(W("mark.not_saved"), true);
  render(); // frame and texts of one moment
  const { head } = shown;
  const view = frozen ? frozen.view : viewNow(performance.now());
  const lines = [
    `${headlineOf(view)}${view.detail ? ` – ${reasonWords(view.detail).text}` : ""}`,
    `${W("engine.session")} ${head.session_id}, ${W("format.frame", { number: head.frame_id })}, ${at("kind").textContent}`,
    `${head.engine_id}, ${head.backend}, ${new Date().toISOString().slice(0, 19).replace("T", " ")} UTC`,
    W("notice"),
  ];
  const size = Math.max(14, Math.round(canvas.width / 60));
  const picture = document.createElement("canvas");
  picture.width = canvas.width;
  picture.height = canvas.height + Math.round(size * (1.5 * lines.length + 0.8));
  const context = picture.getContext("2d");
  context.fillStyle = "#000";
  context.fillRect(0, 0, picture.width, picture.height);
  context.drawImage(canvas, 0, 0);
  context.fillStyle = "#fff";
  context.font = TEXT.replace("{}", size);
  context.textBaseline = "top";
  lines.forEach((line, index) => context.fillText(line, size, canvas.height + size * (0.6 + 1.5 * index), picture.width - 2 * size));
  const name = `usassist_${head.session_id}_${String(head.frame_id).padStart(6, "0")}.png`;
  picture.toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    showNotice(W("mark.saved", { name }), false);
  }, "image/png");
  return undefined;
}
