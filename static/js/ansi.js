// What programs print, made safe to show: colours (SGR) become spans, every other escape is dropped.
// Text only ever becomes text nodes. Use: box.append(libgo.ansi(text, state)), state = {} per stream.
(() => {
  "use strict";
  const SGR = /\u001b\[([0-9;:]*)m/g;
  // In this order: strings for the terminal (OSC, DCS ...), control sequences, other escapes.
  const STRINGS = /\u001b[\]PX^_][\s\S]*?(?:\u0007|\u001b\\|$)/g;
  const SEQUENCES = /\u001b\[[0-?]*[ -/]*[@-ln-~]/g;
  const ESCAPES = /\u001b(?!\[[0-9;:]*m)[ -/]*[0-~]?/g;
  // C0 without tab, line feed and escape, C1, and what turns the direction of text around.
  const CONTROLS = /[\u0000-\u0008\u000b-\u001a\u001c-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
  const LINE_MAX = 20000;

  function plain(text) {
    const shown = text.slice(text.lastIndexOf("\r") + 1).slice(0, LINE_MAX);
    return shown.replace(STRINGS, "").replace(SEQUENCES, "").replace(ESCAPES, "").replace(CONTROLS, "");
  }

  function colour256(index) {
    if (index < 16) return null;
    if (index > 231) { const grey = 8 + (index - 232) * 10; return `rgb(${grey}, ${grey}, ${grey})`; }
    const part = (n) => (n ? 55 + n * 40 : 0);
    const cube = index - 16;
    return `rgb(${part(Math.floor(cube / 36))}, ${part(Math.floor(cube / 6) % 6)}, ${part(cube % 6)})`;
  }

  function byte(value) { return Math.max(0, Math.min(255, Number(value) || 0)); }

  // "38;5;n" and "38;2;r;g;b": the colour, and how many numbers it took.
  function extended(codes, at) {
    if (codes[at + 1] === 5) {
      const index = byte(codes[at + 2]);
      return [index < 16 ? index : colour256(index), 2];
    }
    if (codes[at + 1] === 2) return [`rgb(${byte(codes[at + 2])}, ${byte(codes[at + 3])}, ${byte(codes[at + 4])})`, 4];
    return [undefined, codes.length];
  }

  function apply(state, words) {
    const codes = words.split(/[;:]/).slice(0, 32).map(Number);
    for (let at = 0; at < codes.length; at += 1) {
      const code = codes[at];
      if (code === 0) ["bold", "dim", "italic", "underline", "inverse", "fg", "bg"].forEach((key) => { delete state[key]; });
      else if (code === 1) state.bold = true;
      else if (code === 2) state.dim = true;
      else if (code === 3) state.italic = true;
      else if (code === 4) state.underline = true;
      else if (code === 7) state.inverse = true;
      else if (code === 22) { delete state.bold; delete state.dim; }
      else if (code === 23) delete state.italic;
      else if (code === 24) delete state.underline;
      else if (code === 27) delete state.inverse;
      else if (code >= 30 && code <= 37) state.fg = code - 30;
      else if (code >= 90 && code <= 97) state.fg = code - 82;
      else if (code >= 40 && code <= 47) state.bg = code - 40;
      else if (code >= 100 && code <= 107) state.bg = code - 92;
      else if (code === 39) delete state.fg;
      else if (code === 49) delete state.bg;
      else if (code === 38 || code === 48) {
        const [found, taken] = extended(codes, at);
        if (found !== undefined) state[code === 38 ? "fg" : "bg"] = found;
        at += taken;
      }
    }
  }

  function paint(span, state) {
    ["bold", "dim", "italic", "underline", "inverse"].forEach((key) => { if (state[key]) span.classList.add(`sgr-${key}`); });
    if (typeof state.fg === "number") span.classList.add(`sgr-fg-${state.fg}`);
    else if (state.fg) span.style.color = state.fg;
    if (typeof state.bg === "number") span.classList.add(`sgr-bg-${state.bg}`);
    else if (state.bg) span.style.backgroundColor = state.bg;
  }

  window.libgo = window.libgo || {};
  window.libgo.ansi = (text, state) => {
    const shown = plain(text);
    const made = document.createDocumentFragment();
    let from = 0;
    function piece(words) {
      if (!words) return;
      if (!Object.keys(state).length) { made.append(words); return; }
      const span = document.createElement("span");
      span.textContent = words;
      paint(span, state);
      made.append(span);
    }
    for (const found of shown.matchAll(SGR)) {
      piece(shown.slice(from, found.index));
      apply(state, found[1] || "0");
      from = found.index + found[0].length;
    }
    piece(shown.slice(from));
    return made;
  };
})();
