// A terminal: keys go out as bytes, bytes come in, the size follows the window.
(() => {
  "use strict";
  document.addEventListener("DOMContentLoaded", () => {
    const place = document.getElementById("terminal");
    if (!place) return;
    const state = document.getElementById("terminal-state");
    const again = document.getElementById("terminal-again");
    const terminal = new Terminal({ cursorBlink: true, fontSize: 13, scrollback: 5000, theme: { background: "#11151c" } });
    const fit = new FitAddon.FitAddon();
    const encoder = new TextEncoder();
    let socket = null;
    terminal.loadAddon(fit);
    terminal.open(place);
    fit.fit();
    function size() {
      fit.fit();
      if (socket && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ type: "resize", rows: terminal.rows, cols: terminal.cols }));
    }
    function connect() {
      again.hidden = true;
      socket = window.libgo.socket(place.dataset.path);
      socket.binaryType = "arraybuffer";
      socket.onopen = () => { state.textContent = "Connected"; size(); terminal.focus(); };
      socket.onmessage = (message) => {
        if (message.data instanceof ArrayBuffer) { terminal.write(new Uint8Array(message.data)); return; }
        const fact = JSON.parse(message.data);
        if (fact.type === "error") state.textContent = fact.data.message;
      };
      socket.onclose = (event) => { if (state.textContent === "Connected" || event.reason) state.textContent = event.reason || "The session has ended."; again.hidden = false; };
    }
    terminal.onData((text) => { if (socket.readyState === WebSocket.OPEN) socket.send(encoder.encode(text)); });
    again.addEventListener("click", connect);
    new ResizeObserver(size).observe(place);
    window.libgo.terminal = terminal;
    connect();
  });
})();
