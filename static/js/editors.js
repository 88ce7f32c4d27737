// Texts with numbered lines; a problem leads to its line.
(() => {
  "use strict";

  function number(text) {
    const gutter = text.parentElement.querySelector(".editor-gutter");
    const count = text.value.split("\n").length;
    gutter.textContent = Array.from({ length: count }, (_, n) => n + 1).join("\n");
    gutter.scrollTop = text.scrollTop;
  }

  function show(text, line) {
    const lines = text.value.split("\n");
    const start = lines.slice(0, line - 1).reduce((sum, item) => sum + item.length + 1, 0);
    text.focus();
    text.setSelectionRange(start, start + (lines[line - 1] || "").length);
    text.scrollTop = text.scrollHeight * (line - 1) / lines.length - text.clientHeight / 2;
  }

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll(".editor textarea").forEach((text) => {
      // Two spaces for the Tab key; Escape first lets it leave the field again.
      let leaves = false;
      text.addEventListener("input", () => number(text));
      text.addEventListener("scroll", () => { text.parentElement.querySelector(".editor-gutter").scrollTop = text.scrollTop; });
      text.addEventListener("keydown", (event) => {
        if (event.key === "Escape") { leaves = true; return; }
        if (event.key === "Tab" && !event.shiftKey && !leaves && !text.readOnly) {
          event.preventDefault();
          text.setRangeText("  ", text.selectionStart, text.selectionEnd, "end");
          number(text);
        }
        leaves = false;
      });
      number(text);
    });
    document.addEventListener("click", (event) => {
      const found = event.target.closest("[data-field][data-line]");
      if (found) show(document.getElementById(found.dataset.field), Number(found.dataset.line));
    });
  });
})();
