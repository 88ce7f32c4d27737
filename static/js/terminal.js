// A terminal: keys go out as bytes, bytes come in, the size follows the window. For a shell of one's
// own, and for what several may share: a VM's serial line, and what a container reads and writes itself.
(() => {
  "use strict";
  const FRAME_MAX = 32 * 1024;
  const SIZES = [10, 11, 12, 13, 14, 16, 18, 20, 24];
  const SIZE_KEY = "terminal-font";
  const RETRY_MS = 3000;

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
    let socket = null, tty = true, mayWrite = true, waiting = false;
    terminal.loadAddon(fit);
    terminal.open(place);
    fit.fit();

    function isOpen() { return socket && socket.readyState === WebSocket.OPEN; }
    function tell(message) { if (isOpen()) socket.send(JSON.stringify(message)); }
    const say = window.libgo.teller((text) => { state.textContent = text; });

    function size() {
      fit.fit();
      if (tty && mayWrite) tell({ type: "resize", rows: terminal.rows, cols: terminal.cols });
    }

    function write(text) {
      const bytes = encoder.encode(text);
      for (let at = 0; at < bytes.length && isOpen(); at += FRAME_MAX) socket.send(bytes.slice(at, at + FRAME_MAX));
    }

    function address(force) {
      if (kind !== "exec") return force ? `${place.dataset.path}?force=true` : place.dataset.path;
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
      if (by("line")) by("line").hidden = tty || !mayWrite;
      if (by("paste")) by("paste").disabled = !mayWrite;
      terminal.options.disableStdin = !mayWrite || !tty;
      if (!news.takes_input) say(gettext("Looking on: its input is closed"));
      else if (news.you_write) say(gettext("You write"));
      else say(news.writer ? interpolate(gettext("%(name)s writes"), { name: news.writer }, true) : gettext("Nobody writes: type to begin"));
      size();
    }

    // Of a VM: it is off, or its host away, and the line comes back by itself; or another program has it.
    function over(event, told, reason) {
      const lost = kind === "exec" ? gettext("The connection was lost, and this session with it.") : gettext("The connection was lost.");
      say.told(told || event.reason || lost);
      if (by("paste")) by("paste").disabled = true;
      const taken = reason === "console_taken" || reason === "console_busy";
      again.textContent = taken ? gettext("Take it over") : gettext("Connect again");
      again.dataset.force = taken ? "1" : "";
      again.hidden = false;
      waiting = kind === "console" && !taken && ![4400, 4401, 4403, 4404, 4429].includes(event.code);
      if (waiting && (event.code === 4409 || event.code === 1000)) {
        say(gettext("The VM is off. The console comes back when it runs."));
      } else if (waiting) {
        setTimeout(() => { if (waiting) connect(); }, window.libgo.around(RETRY_MS));
      }
    }

    function connect(force) {
      const own = window.libgo.socket(address(force));
      socket = own;
      waiting = false;
      let told = "", reason = "";
      again.hidden = true;
      say(gettext("Connecting"));
      own.binaryType = "arraybuffer";
      own.onopen = () => { say(gettext("Connected")); size(); terminal.focus(); };
      own.onmessage = (message) => {
        if (own !== socket) return;
        if (message.data instanceof ArrayBuffer) { terminal.write(new Uint8Array(message.data, tty ? 0 : 1)); return; }
        const fact = JSON.parse(message.data);
        if (fact.type === "error") { told = fact.data.message; reason = fact.data.details.reason || ""; say.told(told); }
        if (fact.type === "exit") told = interpolate(gettext("It ended with code %(code)s."), { code: fact.data.exit_code ?? gettext("unknown") }, true);
        if (fact.type === "attached") attached(fact.data);
      };
      own.onclose = (event) => {
        if (own !== socket) return;
        over(event, told, reason);
      };
    }

    function reconnect() {
      const old = socket, force = again.dataset.force === "1";
      socket = null;
      if (old) old.close();
      terminal.reset();
      connect(force);
    }

    async function paste() {
      try {
        terminal.paste(await navigator.clipboard.readText());
      } catch {
        say(gettext("The browser does not hand over the clipboard: press Ctrl+Shift+V in the console."));
      }
      terminal.focus();
    }

    function font(by_) {
      const now = SIZES.indexOf(terminal.options.fontSize);
      terminal.options.fontSize = SIZES[Math.max(0, Math.min(SIZES.length - 1, now + by_))];
      localStorage.setItem(SIZE_KEY, terminal.options.fontSize);
      size();
    }

    // Tab belongs to what runs in it: this is the way out of it by the keyboard (_leave_hint.html).
    terminal.attachCustomKeyEventHandler((event) => {
      if (event.key !== "Escape" || !event.shiftKey) return true;
      if (event.type === "keydown") { event.preventDefault(); document.querySelector(".nav-tabs .active")?.focus(); }
      return false;
    });
    terminal.onData(write);
    again.addEventListener("click", reconnect);
    by("smaller").addEventListener("click", () => font(-1));
    by("larger").addEventListener("click", () => font(1));
    if (kind === "exec") by("open").addEventListener("submit", (event) => { event.preventDefault(); reconnect(); });
    if (kind !== "exec") by("take").addEventListener("click", () => { tell({ type: "take_over" }); terminal.focus(); });
    if (kind === "console") {
      by("paste").addEventListener("click", paste);
      place.addEventListener("live", () => { if (waiting) { terminal.reset(); connect(); } });
    }
    if (kind === "attach") {
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
