// One socket for facts: whatever a page shows of them is fetched again, at most a few times a second.
(() => {
  "use strict";
  const DEBOUNCE_MS = 120;
  const FIRST_RETRY_MS = 500;
  const MAX_RETRY_MS = 8000;
  const DEPART_MS = 5000;
  // A click comes right behind the release, of a finger a little later.
  const CLICK_MS = 50;
  // A restart of the server is over before anybody need be told.
  const LOST_AFTER_MS = 1500;
  // A server that cannot tell news takes the line all the same, says why, and hangs up at once.
  const SETTLED_MS = 150;
  let retryMs = FIRST_RETRY_MS;
  let wasOpen = false;
  let leaving = false;
  let departing = false;
  let lostTimer = null;
  let retryTimer = null;
  const due = new Map();

  window.libgo = Object.assign(window.libgo || {}, {
    socket(path) {
      const scheme = location.protocol === "https:" ? "wss" : "ws";
      return new WebSocket(`${scheme}://${location.host}${path}`, ["libgo.v1"]);
    },
    // Around so long, so that not all who lost their line together come back together.
    around: (ms) => ms * (0.5 + Math.random()),
  });

  // A piece that is drawn anew may be another element of the same id, and htmx forgets what waits for one that is
  // gone: so what is due is known by the id.
  const keyOf = (element) => element.id || element;
  const now = (key) => (typeof key === "string" ? document.getElementById(key) : key);
  const isBusy = (element) => element.matches(".htmx-request") || element.querySelector(".htmx-request[hx-get]");

  function refresh(element) {
    const key = keyOf(element);
    if (!due.has(key)) due.set(key, setTimeout(() => look(key), DEBOUNCE_MS));
  }

  // What is on its way for it may have been asked before the fact: look once more behind it.
  function look(key) {
    due.delete(key);
    const element = now(key);
    if (!element?.isConnected || leaving) return;
    if (isBusy(element) || isHeld(element)) refresh(element);
    else htmx.trigger(element, "live");
  }

  // What one is in the middle of is waited for: a button that is drawn anew between press and release hears no click,
  // a menu would close or move under the pointer, selected words would be let go. Only so long, though: who has gone
  // away meanwhile finds no old page.
  const HELD_MS = 60_000;
  let pressed = null, heldAt = -HELD_MS;
  const isSelected = (piece) => {
    const selection = getSelection();
    return !selection.isCollapsed && (piece.contains(selection.anchorNode) || piece.contains(selection.focusNode));
  };
  // What is drawn by morph.js has no hx-get, and needs none of this.
  const isHeld = (piece) => piece.matches("[hx-get]") && (piece.contains(pressed)
    || (performance.now() - heldAt < HELD_MS && (piece.querySelector(".dropdown-menu.show") || isSelected(piece))));
  for (const sign of ["selectionchange", "shown.bs.dropdown"]) document.addEventListener(sign, () => { heldAt = performance.now(); });
  document.addEventListener("pointerdown", (event) => { pressed = event.target; }, true);
  const released = () => setTimeout(() => { pressed = null; }, CLICK_MS);
  for (const end of ["pointerup", "pointercancel", "dragend"]) document.addEventListener(end, released, true);
  document.addEventListener("htmx:beforeSwap", (event) => {
    const piece = event.detail.requestConfig?.elt;
    if (!piece?.matches("[data-live]") || !isHeld(piece)) return;
    event.preventDefault();
    refresh(piece);
  });

  const refreshAll = () => document.querySelectorAll("[data-live]").forEach(refresh);

  // Between the making of the page and the opening of its socket something may have happened.
  async function catchUp() {
    try {
      const answer = await fetch(`/api/v1/events?after=${document.body.dataset.seq}&limit=1`);
      if (answer.ok && (await answer.json()).items.length) refreshAll();
    } catch { /* The line is lost again: its return looks at everything. */ }
  }

  function concerns(element, noun, data) {
    if (!element.dataset.live.split(" ").includes(noun)) return false;
    const id = element.dataset.liveId;
    return !id || noun === "node" || data.instance === id || data.operation === id;
  }

  async function show(fact) {
    document.dispatchEvent(new CustomEvent("fact", { detail: fact }));
    const noun = fact.type.split(".")[0];
    document.querySelectorAll("[data-live]").forEach((element) => {
      if (concerns(element, noun, fact.data)) refresh(element);
    });
    if (fact.type === "alert.firing") toast(await window.libgo.told(fact.data.message), fact.data.details.severity === "info" ? "info" : "danger");
    if (fact.type === "alert.resolved") toast(interpolate(gettext("Over: %(message)s"), { message: await window.libgo.told(fact.data.message) }, true), "success");
    if (fact.type === "operation.failed" && fact.data.user === document.body.dataset.user) {
      toast(`${fact.data.instance_name || gettext("Operation")}: ${await window.libgo.told(fact.data.message)}`, "danger");
    }
  }

  function link(colour, text) {
    const mark = document.getElementById("link");
    if (!mark) return;
    mark.className = `status status-${colour} me-2`;
    mark.title = text;
    document.getElementById("link-text").textContent = text;
  }

  function tellLost(isLost) {
    document.getElementById("lost").hidden = !isLost;
    document.documentElement.classList.toggle("is-lost", isLost);
  }

  // What stands on the page may be old now: said so that nobody overlooks it.
  function lost() {
    if (lostTimer || departing) return;
    lostTimer = setTimeout(() => tellLost(true), LOST_AFTER_MS);
  }

  function found() {
    clearTimeout(lostTimer);
    lostTimer = null;
    const bar = document.getElementById("lost");
    if (!bar.hidden) toast(gettext("Connected again. What happened meanwhile is shown now."), "success");
    tellLost(false);
  }

  // Not a reload: it would send the form again that made this page. And who is logging out is on the way already,
  // with a page that takes this one's place.
  const signIn = () => location.assign(document.body.dataset.here);
  addEventListener("beforeunload", () => { departing = true; });

  function again() {
    clearTimeout(retryTimer);
    retryTimer = null;
    connect();
  }

  function connect() {
    const socket = window.libgo.socket("/ws/v1/events");
    let settling = null;
    const settled = () => {
      retryMs = FIRST_RETRY_MS;
      link("green", gettext("live"));
      found();
      // What happened while the line was down was missed: look at everything again.
      if (wasOpen) refreshAll();
      else catchUp();
      wasOpen = true;
    };
    socket.onopen = () => { settling = setTimeout(settled, SETTLED_MS); };
    socket.onmessage = (message) => show(JSON.parse(message.data));
    socket.onclose = (event) => {
      clearTimeout(settling);
      if (event.code === 4401) { setTimeout(signIn, departing ? DEPART_MS : 0); return; }
      link("orange", gettext("reconnecting"));
      lost();
      retryTimer = setTimeout(again, window.libgo.around(retryMs));
      retryMs = Math.min(retryMs * 2, MAX_RETRY_MS);
    };
  }

  function toast(text, kind) {
    const box = document.createElement("div");
    box.className = `toast show align-items-center border-0 text-bg-${kind === "info" ? "primary" : kind}`;
    box.setAttribute("role", "status");
    const body = document.createElement("div");
    body.className = "toast-body";
    body.textContent = text;
    box.append(body);
    document.getElementById("toasts").append(box);
    setTimeout(() => box.remove(), kind === "danger" ? 9000 : 4000);
  }

  // What a live region shows is no more: leave its page, once, however many regions hear of it.
  document.addEventListener("gone", (event) => {
    if (leaving) return;
    leaving = true;
    location.assign(event.detail.to);
  });
  document.addEventListener("toast", (event) => {
    toast(event.detail.text, event.detail.kind);
    // What a dialog asked for is under way: it has done its work.
    const dialog = event.target.closest && event.target.closest(".modal.show");
    if (dialog && event.detail.kind !== "danger") dialog.querySelector("[data-bs-dismiss]").click();
  });
  // A dialog that opens again starts from nothing, not from what it held before.
  document.addEventListener("hidden.bs.modal", (event) => {
    event.target.querySelector("#dialog-box")?.replaceChildren();
  });
  // Buttons inherit how the region around them is swapped; the box of the dialog must stay where it is.
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.target?.id === "dialog-box") event.detail.swapOverride = "innerHTML";
  });
  document.addEventListener("htmx:sendError", (event) => {
    // Live regions ask again by themselves; what a person sent must not be lost without a word.
    if (event.detail.requestConfig?.verb !== "get") toast(gettext("The server could not be reached; nothing was sent."), "danger");
  });
  document.addEventListener("htmx:responseError", () => toast(gettext("The server could not answer."), "danger"));
  document.addEventListener("DOMContentLoaded", () => {
    document.getElementById("lost-retry").addEventListener("click", () => {
      if (retryTimer) again();
    });
    connect();
  });
})();
