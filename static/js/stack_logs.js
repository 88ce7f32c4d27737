// The logs of a stack as one: a colour for each service, and a box to leave it out.
(() => {
  "use strict";
  const KEPT = 5000;
  document.addEventListener("DOMContentLoaded", () => {
    const box = document.getElementById("log");
    const state = document.getElementById("log-state");
    const search = document.getElementById("log-search");
    const follow = document.getElementById("log-follow");
    const filters = document.getElementById("log-services");
    const lines = [];
    const prefix = `${box.dataset.stack}-`;
    const shades = new Map(), hidden = new Set();
    filters.querySelectorAll("[data-service]").forEach((item) => shades.set(item.dataset.service, item.dataset.shade));
    function matches(line) {
      return !hidden.has(line.service) && (!search.value || line.text.toLowerCase().includes(search.value.toLowerCase()));
    }
    function add(line) {
      const row = document.createElement("div");
      const name = document.createElement("span");
      name.className = `log-name text-${shades.get(line.service) || "secondary"}`;
      name.textContent = line.name.startsWith(prefix) ? line.name.slice(prefix.length) : line.name;
      name.title = line.timestamp || "";
      const said = document.createElement("span");
      said.className = line.mark ? "text-secondary" : line.stream === "stderr" ? "stderr" : "";
      said.textContent = line.text || " ";
      row.append(name, said);
      row.hidden = !matches(line);
      lines.push({ line, row });
      box.append(row);
      while (lines.length > KEPT) lines.shift().row.remove();
    }
    function again() { lines.forEach(({ line, row }) => { row.hidden = !matches(line); }); bottom(); }
    function bottom() { if (follow.checked) box.scrollTop = box.scrollHeight; }
    search.addEventListener("input", again);
    follow.addEventListener("change", bottom);
    filters.addEventListener("change", (event) => {
      const service = event.target.dataset.service;
      if (event.target.checked) hidden.delete(service); else hidden.add(service);
      again();
    });
    document.getElementById("log-wrap").addEventListener("change", (event) => box.classList.toggle("wrap", event.target.checked));
    document.getElementById("log-download").addEventListener("click", (event) => {
      const text = lines.map(({ line }) => `${line.name} | ${line.text}`).join("\n");
      event.currentTarget.href = URL.createObjectURL(new Blob([`${text}\n`], { type: "text/plain" }));
    });
    const socket = window.libgo.socket(box.dataset.path);
    const say = window.libgo.teller((text) => { state.textContent = text; });
    // Lines wait for a mark before them that is still translated.
    let turn = Promise.resolve();
    const addNext = (made) => { turn = turn.then(made).then((items) => { items.forEach(add); bottom(); }); };
    socket.onopen = () => say(gettext("Following all services"));
    socket.onmessage = (message) => {
      const fact = JSON.parse(message.data);
      if (fact.type === "logs") addNext(() => fact.data.lines);
      if (fact.type === "mark") addNext(async () => [{ ...fact.data, text: await window.libgo.told(fact.data.text), mark: true }]);
      if (fact.type === "error") say.told(fact.data.message);
    };
    socket.onclose = (event) => say.told(event.reason || gettext("The log has ended. Reload to follow again."));
  });
})();
