// The editor of a compose file: line numbers, a file opened into it, a check while one types.
(() => {
  "use strict";
  const PAUSE_MS = 500;
  const FILE_MAX = 256 * 1024;
  document.addEventListener("DOMContentLoaded", () => {
    const text = document.getElementById("compose");
    const form = document.getElementById("stack-form");
    if (!text || !form) return;
    const gutter = document.getElementById("stack-gutter");
    const file = document.getElementById("stack-file");
    let timer = null;
    function number() {
      const count = text.value.split("\n").length;
      gutter.textContent = Array.from({ length: count }, (_, n) => n + 1).join("\n");
      gutter.scrollTop = text.scrollTop;
    }
    function check() {
      clearTimeout(timer);
      timer = setTimeout(() => htmx.trigger(form, "checked"), PAUSE_MS);
    }
    text.addEventListener("scroll", () => { gutter.scrollTop = text.scrollTop; });
    text.addEventListener("input", number);
    form.addEventListener("input", check);
    form.addEventListener("change", check);
    // Two spaces for the Tab key; Escape first lets it leave the field again.
    let leaves = false;
    text.addEventListener("keydown", (event) => {
      if (event.key === "Escape") { leaves = true; return; }
      if (event.key === "Tab" && !event.shiftKey && !leaves) {
        event.preventDefault();
        text.setRangeText("  ", text.selectionStart, text.selectionEnd, "end");
        text.dispatchEvent(new Event("input", { bubbles: true }));
      }
      leaves = false;
    });
    file.addEventListener("change", async () => {
      const chosen = file.files[0];
      if (!chosen) return;
      if (chosen.size > FILE_MAX) {
        document.dispatchEvent(new CustomEvent("toast", { detail: { text: gettext("The file is larger than 256 KiB."), kind: "danger" } }));
      } else {
        text.value = await chosen.text();
        text.dispatchEvent(new Event("input", { bubbles: true }));
      }
      file.value = "";
    });
    // A problem leads to its line.
    document.getElementById("verdict").addEventListener("click", (event) => {
      const line = Number(event.target.closest("[data-line]")?.dataset.line);
      if (!line) return;
      const lines = text.value.split("\n");
      const start = lines.slice(0, line - 1).reduce((sum, item) => sum + item.length + 1, 0);
      text.focus();
      text.setSelectionRange(start, start + (lines[line - 1] || "").length);
      text.scrollTop = text.scrollHeight * (line - 1) / lines.length - text.clientHeight / 2;
    });
    number();
  });
})();
