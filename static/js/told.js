// What the API and the sockets tell in English (reasons, marks of a log), in the reader's language: asked of the
// server once for each text. What nobody translated, or what could not be asked, stays as it was told.
(() => {
  "use strict";
  const SOURCE = "en";
  const known = new Map();

  async function ask(text) {
    try {
      const answer = await fetch(`/told?${new URLSearchParams({ text })}`, { credentials: "same-origin" });
      return answer.ok ? (await answer.json()).text : text;
    } catch {
      return text;
    }
  }

  // A promise of the text.
  function told(text) {
    if (!text || document.documentElement.lang === SOURCE) return Promise.resolve(text || "");
    if (!known.has(text)) known.set(text, ask(text));
    return known.get(text);
  }

  // Says one text after another, those of its own words and those that are told in English (`say.told`). What
  // is translated late never follows a newer one.
  function teller(show) {
    let turn = 0;
    const say = (text) => { turn += 1; show(text); };
    say.told = (text) => {
      const own = ++turn;
      told(text).then((said) => { if (own === turn) show(said); });
    };
    return say;
  }

  window.libgo = Object.assign(window.libgo || {}, { told, teller });
})();
