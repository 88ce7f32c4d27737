// What the browser dropped is asked for once more. Chromium drops whatever waits for a connection when an interface
// of its machine comes or goes: each start of a container or machine does that to a browser beside LibGo.
(() => {
  "use strict";
  const TRIES_MS = [300, 1000, 3000];
  // One reload by itself; then a person decides.
  const RELOADED = "libgo.again", RELOADED_FOR_MS = 30000;
  const LEFT_MS = 5000;
  const tried = new WeakMap();
  let missing = false, leaving = false;

  function reloadedLately() {
    const last = Number(sessionStorage.getItem(RELOADED));
    sessionStorage.setItem(RELOADED, Date.now());
    return Date.now() - last < RELOADED_FOR_MS;
  }

  // A page that a form made cannot be asked for again: that would send the form.
  const isAskable = () => document.body.dataset.here === location.pathname + location.search;

  function part() {
    if (missing || leaving) return;
    missing = true;
    if (isAskable() && !reloadedLately()) location.reload();
    else document.getElementById("missing").hidden = false;
  }

  // What a page was still fetching is dropped when one leaves it; a download only looks like leaving.
  addEventListener("beforeunload", () => {
    leaving = true;
    setTimeout(() => { leaving = false; }, LEFT_MS);
  });

  // A script or a style sheet did not come: half a page would look whole and do nothing.
  addEventListener("error", (event) => {
    if (!(event.target instanceof HTMLScriptElement || event.target instanceof HTMLLinkElement)) return;
    if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", part);
    else part();
  }, true);

  // What only reads may be asked for again without a word; what a person sent is theirs to repeat (live.js).
  function fetchAgain(event) {
    const { elt, target, requestConfig } = event.detail;
    const tries = tried.get(elt) || 0;
    if (requestConfig.verb !== "get" || tries >= TRIES_MS.length) return;
    tried.set(elt, tries + 1);
    setTimeout(() => {
      if (elt.isConnected) htmx.ajax("GET", requestConfig.path, { source: elt, target });
    }, TRIES_MS[tries]);
  }

  addEventListener("htmx:sendError", fetchAgain);
  addEventListener("htmx:afterOnLoad", (event) => tried.delete(event.detail.elt));
  document.addEventListener("DOMContentLoaded", () => {
    document.getElementById("missing-reload")?.addEventListener("click", () => location.reload());
  });
})();
