// A VM's screen: noVNC over our socket. No address, port or password of the VM reaches the page.
import RFB from "../vendor/novnc/core/rfb.js";
import keysyms from "../vendor/novnc/core/input/keysym.js";
import lookup from "../vendor/novnc/core/input/keysymdef.js";

const RETRY_MS = 3000;
// A guest that is busy takes its time for a key, and loses those that its keyboard has no room for.
const TYPE_PAUSE_MS = 30;
// What a US keyboard writes with Shift.
const SHIFTED = '~!@#$%^&*()_+{}|:"<>?ABCDEFGHIJKLMNOPQRSTUVWXYZ';
const CODES = { Control_L: "ControlLeft", Alt_L: "AltLeft", Super_L: "MetaLeft", Shift_L: "ShiftLeft" };

function start(place) {
  const by = (name) => document.getElementById(`screen-${name}`);
  const state = by("state"), again = by("again");
  let rfb = null, waiting = false;

  const say = window.libgo.teller((text) => { state.textContent = text; });

  function fit() {
    if (!rfb) return;
    rfb.scaleViewport = by("fit").checked;
    rfb.clipViewport = false;
  }

  function press(words) {
    if (!rfb) return;
    const keys = words.split(" ").map((word) => [keysyms[`XK_${word}`], CODES[word] || word]);
    keys.forEach(([sym, code]) => rfb.sendKey(sym, code, true));
    keys.reverse().forEach(([sym, code]) => rfb.sendKey(sym, code, false));
    rfb.focus();
  }

  async function type(text) {
    for (const letter of text.replace(/\r\n/g, "\n")) {
      if (!rfb) return;
      const sym = letter === "\n" ? keysyms.XK_Return : letter === "\t" ? keysyms.XK_Tab : lookup.lookup(letter.codePointAt(0));
      const shift = SHIFTED.includes(letter);
      if (shift) rfb.sendKey(keysyms.XK_Shift_L, "ShiftLeft", true);
      rfb.sendKey(sym);
      if (shift) rfb.sendKey(keysyms.XK_Shift_L, "ShiftLeft", false);
      await new Promise((done) => setTimeout(done, TYPE_PAUSE_MS));
    }
    if (rfb) rfb.focus();
  }

  function over(event, told) {
    rfb = null;
    waiting = ![4400, 4401, 4403, 4404, 4429].includes(event.code);
    const off = event.code === 1000 || event.code === 4409;
    if (waiting && off) say(gettext("The VM is off. The screen comes back when it runs."));
    else say.told(told || event.reason || gettext("The connection was lost."));
    again.hidden = false;
    if (waiting && !off) setTimeout(() => { if (waiting) connect(); }, window.libgo.around(RETRY_MS));
  }

  function connect() {
    if (rfb) return;
    waiting = false;
    again.hidden = true;
    say(gettext("Connecting"));
    const socket = window.libgo.socket(place.dataset.path);
    let told = "";
    socket.addEventListener("message", (message) => {
      if (typeof message.data === "string") told = JSON.parse(message.data).data.message || told;
    });
    socket.addEventListener("close", (event) => over(event, told));
    place.replaceChildren();
    rfb = new RFB(place, socket, { shared: true });
    rfb.background = "#11151c";
    rfb.viewOnly = by("look").checked;
    rfb.showDotCursor = true;
    fit();
    rfb.addEventListener("connect", () => { say(gettext("Connected")); rfb.focus(); });
    rfb.addEventListener("clipboard", (event) => { by("text").value = event.detail.text.slice(0, 16000); });
    window.libgo.screen = rfb;
  }

  // Every key belongs to the guest: this is the way out of it by the keyboard (_leave_hint.html).
  place.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !event.shiftKey) return;
    event.preventDefault();
    event.stopPropagation();
    if (rfb) rfb.sendKey(keysyms.XK_Shift_L, "ShiftLeft", false);
    document.querySelector(".nav-tabs .active")?.focus();
  }, true);
  document.querySelectorAll("[data-keys]").forEach((button) => {
    button.addEventListener("click", () => press(button.dataset.keys));
  });
  by("type").addEventListener("click", () => type(by("text").value));
  by("clip").addEventListener("click", () => { if (rfb) { rfb.clipboardPasteFrom(by("text").value); rfb.focus(); } });
  by("look").addEventListener("change", () => { if (rfb) rfb.viewOnly = by("look").checked; });
  by("fit").addEventListener("change", fit);
  by("full").addEventListener("click", () => document.getElementById("screen-card").requestFullscreen());
  again.addEventListener("click", connect);
  place.addEventListener("live", () => { if (waiting) connect(); });
  connect();
}

// A module runs once the document is there; this one later still, because noVNC awaits what the browser can.
const place = document.getElementById("screen");
if (place) start(place);
