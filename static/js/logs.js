// Follow a log: pause, find, wrap, download. Lines are text, never markup.
(() => {
  "use strict";
  const KEPT = 5000;
  document.addEventListener("DOMContentLoaded", () => {
    const box = document.getElementById("log");
    if (!box || !box.dataset.path) return;
    const state = document.getElementById("log-state");
    const search = document.getElementById("log-search");
    const follow = document.getElementById("log-follow");
    const lines = [];
    function matches(text) { return !search.value || text.toLowerCase().includes(search.value.toLowerCase()); }
    function add(line) {
      lines.push(line.text);
      const row = document.createElement("div");
      row.className = line.stream === "stderr" ? "stderr" : "";
      row.textContent = line.text || " ";
      row.hidden = !matches(line.text);
      box.append(row);
      while (lines.length > KEPT) { lines.shift(); box.firstChild.remove(); }
    }
    function bottom() { if (follow.checked) box.scrollTop = box.scrollHeight; }
    search.addEventListener("input", () => { [...box.children].forEach((row) => { row.hidden = !matches(row.textContent); }); bottom(); });
    follow.addEventListener("change", bottom);
    document.getElementById("log-wrap").addEventListener("change", (event) => box.classList.toggle("wrap", event.target.checked));
    document.getElementById("log-download").addEventListener("click", (event) => {
      event.currentTarget.href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "text/plain" }));
    });
    const socket = window.libgo.socket(box.dataset.path);
    socket.onopen = () => { state.textContent = "Following"; };
    socket.onmessage = (message) => {
      const fact = JSON.parse(message.data);
      if (fact.type === "logs") fact.data.lines.forEach(add);
      if (fact.type === "error") state.textContent = fact.data.message;
      bottom();
    };
    socket.onclose = (event) => { state.textContent = event.reason || "The log has ended. Reload to follow again."; };
  });
})();
