// Times as the reader lives them: “3 minutes ago” goes on counting, exact ones are in the reader's zone.
(() => {
  "use strict";
  const TICK_MS = 20000;
  const UNITS = [["year", 31536000], ["month", 2592000], ["week", 604800], ["day", 86400], ["hour", 3600], ["minute", 60]];
  const language = document.documentElement.lang || "en";
  const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
  const full = new Intl.DateTimeFormat(language, { dateStyle: "full", timeStyle: "long" });

  function agoText(at) {
    const seconds = (at - Date.now()) / 1000;
    for (const [unit, length] of UNITS) {
      if (Math.abs(seconds) >= length) return relative.format(Math.trunc(seconds / length), unit);
    }
    return Math.abs(seconds) < 10 ? gettext("just now") : relative.format(Math.trunc(seconds), "second");
  }

  // ISO order, because it sorts and no country reads it wrongly.
  function exactText(at) {
    const two = (number) => String(number).padStart(2, "0");
    return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} `
      + `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  }

  window.libgo = Object.assign(window.libgo || {}, { exactText });

  function write(element) {
    const at = new Date(element.dateTime);
    if (Number.isNaN(at.getTime())) return;
    const text = "ago" in element.dataset ? agoText(at) : exactText(at);
    if (element.textContent !== text) element.textContent = text;
    if (!element.title) element.title = full.format(at);
  }

  function writeAll(root) {
    root.querySelectorAll("time[data-ago], time[data-exact]").forEach(write);
  }

  document.addEventListener("DOMContentLoaded", () => {
    writeAll(document);
    setInterval(() => writeAll(document), TICK_MS);
  });
  document.addEventListener("drawn", (event) => writeAll(event.detail.elt));
  document.addEventListener("htmx:load", (event) => writeAll(event.detail.elt.parentNode || document));
})();
