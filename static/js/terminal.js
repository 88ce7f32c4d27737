// A terminal: keys go out as bytes, bytes come in, the size follows the window. For a shell of one's
// own, a VM's serial line, and what a container reads and writes itself, which several may share.
(() => {
  "use strict";
  const FRAME_MAX = 32 * 1024;
  const SIZES = [10, 11, 12, 13, 14, 16, 18, 20, 24];
  const SIZE_KEY = "terminal-font";

  function start(place) {
    const by = (name) => document.getElementById(`terminal-${name}`);
    const state = by("state"), again = by("again"), kind = place.dataset.kind;
    const stored = Number(localStorage.getItem(SIZE_KEY));
    const terminal = new Terminal({
      cursorBlink: true, scrollback: 5000, fontSize: SIZES.includes(stored) ? stored : 13,
      theme: { background: "#11151c" }, convertEol: kind === "attach",
    });
    const fit = new FitAddon.FitAddon(), encoder = new TextEncoder();
    // Without a terminal on the other side the first byte of a frame says which output it is.
    let socket = null, tty = true, mayWrite = true;
    terminal.loadAddon(fit);
    terminal.open(place);
    fit.fit();

    function isOpen() { return socket && socket.readyState === WebSocket.OPEN; }
    function tell(message) { if (isOpen()) socket.send(JSON.stringify(message)); }
    function say(text) { state.textContent = text; }

    function size() {
      fit.fit();
      if (tty && mayWrite) tell({ type: "resize", rows: terminal.rows, cols: terminal.cols });
    }

    function write(text) {
      const bytes = encoder.encode(text);
      for (let at = 0; at < bytes.length && isOpen(); at += FRAME_MAX) socket.send(bytes.slice(at, at + FRAME_MAX));
    }

    function address() {
      if (kind !== "exec") return place.dataset.path;
      const asked = new URLSearchParams({ rows: terminal.rows, cols: terminal.cols });
      const command = by("command").value.trim(), user = by("user").value.trim();
      if (command) asked.set("command", JSON.stringify(command.split(/\s+/)));
      if (user) asked.set("user", user);
      return `${place.dataset.path}?${asked}`;
    }

    function attached(news) {
      tty = news.tty;
      mayWrite = news.takes_input && (news.you_write || !news.writer);
      terminal.options.convertEol = !tty;
      by("take").hidden = !news.takes_input || mayWrite;
      by("line").hidden = tty || !mayWrite;
      terminal.options.disableStdin = !mayWrite || !tty;
      if (!news.takes_input) say("Looking on: its input is closed");
      else if (news.you_write) say("You write");
      else say(news.writer ? `${news.writer} writes` : "Nobody writes: type to begin");
      size();
    }

    function connect() {
      const own = window.libgo.socket(address());
      socket = own;
      let told = "";
      again.hidden = true;
      say("Connecting");
      own.binaryType = "arraybuffer";
      own.onopen = () => { say("Connected"); size(); terminal.focus(); };
      own.onmessage = (message) => {
        if (own !== socket) return;
        if (message.data instanceof ArrayBuffer) { terminal.write(new Uint8Array(message.data, tty ? 0 : 1)); return; }
        const fact = JSON.parse(message.data);
        if (fact.type === "error") { told = fact.data.message; say(told); }
        if (fact.type === "exit") told = `It ended with code ${fact.data.exit_code === null ? "unknown" : fact.data.exit_code}.`;
        if (fact.type === "attached") attached(fact.data);
      };
      own.onclose = (event) => {
        if (own !== socket) return;
        say(told || event.reason || "The connection was lost.");
        again.hidden = false;
      };
    }

    function reconnect() {
      const old = socket;
      socket = null;
      if (old) old.close();
      terminal.reset();
      connect();
    }

    function font(by_) {
      const now = SIZES.indexOf(terminal.options.fontSize);
      terminal.options.fontSize = SIZES[Math.max(0, Math.min(SIZES.length - 1, now + by_))];
      localStorage.setItem(SIZE_KEY, terminal.options.fontSize);
      size();
    }

    terminal.onData(write);
    again.addEventListener("click", reconnect);
    by("smaller").addEventListener("click", () => font(-1));
    by("larger").addEventListener("click", () => font(1));
    if (kind === "exec") by("open").addEventListener("submit", (event) => { event.preventDefault(); reconnect(); });
    if (kind === "attach") {
      by("take").addEventListener("click", () => { tell({ type: "take" }); terminal.focus(); });
      by("line").addEventListener("submit", (event) => {
        event.preventDefault();
        write(`${by("input").value}\n`);
        by("input").value = "";
      });
    }
    new ResizeObserver(size).observe(place);
    window.libgo.terminal = terminal;
    connect();
  }

  document.addEventListener("DOMContentLoaded", () => {
    const place = document.getElementById("terminal");
    if (place) start(place);
  });
})();
