// The list of instances: draws itself again in place (morph.js) when something is filtered, sorted, or happened,
// and shows what its rows use as it is measured. The address of the page says all of its state.
(() => {
  "use strict";
  // What happened is looked at so often at most, and never more than a third of the time.
  const PACE_MS = 250;
  const TYPING_MS = 10;
  const ARRIVE_MS = 50;
  const RETRY_MS = 2000;
  const PIECES = ["views", "instances"];
  // About as high is a line.
  const LINE_PX = 46;
  let asking = null, isFresh = true, resting = null, typing = null, newest = null;
  // The address that is shown as soon as what it asks for is; whether the views are to be asked for, too.
  let coming = null, areViewsDue = false;

  const form = () => document.getElementById("table-form");
  const table = () => document.getElementById("instances");
  // By htmx, which brings our headers and shows what the answer says; each source has its own queue.
  const post = (source, url, values) => htmx.ajax("POST", url, { source, swap: "none", values });

  // -- the address ---------------------------------------------------------------------------

  // The fields of the form over what else the address says; another list begins at its first page.
  function wanted() {
    const asked = new URLSearchParams(location.search);
    asked.delete("page");
    for (const field of form().elements) {
      if (!field.name || field.form !== form()) continue;
      if (field.value && !(field.name === "size" && field.value === field.dataset.usual)) asked.set(field.name, field.value);
      else asked.delete(field.name);
    }
    return `?${asked}`;
  }

  function fill() {
    const asked = new URLSearchParams(location.search);
    for (const field of form().elements) {
      if (!field.name || field.form !== form() || field === document.activeElement) continue;
      field.value = asked.get(field.name) || (field.dataset.usual ?? "");
    }
  }

  const addressOf = (search) => `${location.pathname}${search === "?" ? "" : search}`;
  const here = () => coming ?? `${location.pathname}${location.search}`;

  function go(search) {
    arrive();
    history.pushState(null, "", addressOf(search));
    return draw(true);
  }

  // A browser looks for its tab's picture again at every change of the address: after the letter's answer is soon enough.
  function arrive() {
    if (coming) history.replaceState(null, "", coming);
    coming = null;
  }

  // -- drawing -------------------------------------------------------------------------------

  // What letters find changes no view, unless one of one's own is being changed by them.
  function headers(isTyped) {
    const isWhole = !isTyped || areViewsDue || document.querySelector("#views [aria-current][data-own]");
    areViewsDue = Boolean(isWhole);
    return { "HX-Request": "true", ...(isWhole ? {} : { "HX-Target": "instances" }) };
  }

  async function draw(isAsked = false, isTyped = false) {
    asking?.abort();
    const mine = asking = new AbortController();
    isFresh = true;
    const began = performance.now();
    try {
      const answer = await fetch(here(), { headers: headers(isTyped), credentials: "same-origin", signal: mine.signal });
      if (answer.redirected) location.assign(document.body.dataset.here);
      const text = await answer.text();
      if (mine !== asking) return;
      if (answer.ok) put(text, isAsked);
      else document.dispatchEvent(new CustomEvent("toast", { detail: { text: gettext("The list cannot be shown so."), kind: "danger" } }));
    } catch (error) {
      if (error.name === "AbortError") return;
      // The line is lost; its return looks at everything again.
    }
    if (mine !== asking) return;
    asking = null;
    clearTimeout(resting);
    resting = setTimeout(() => { resting = null; if (!isFresh) draw(); }, Math.max(PACE_MS, 2 * (performance.now() - began)));
  }

  // So many lines fit into the window: what people asked for shows these first, and the rest a frame later.
  function linesInSight() {
    const { top } = table().getBoundingClientRect();
    const line = table().querySelector("tr[data-name]")?.offsetHeight || LINE_PX;
    return top > 0 ? Math.max(1, Math.ceil((innerHeight - top) / line)) : Infinity;
  }

  // Where so many lines end; each begins with its `<tr id="row-`, which no text that the server escaped holds.
  function endOf(lines, text) {
    let at = text.indexOf("<tbody>");
    for (let line = 0; line <= lines && at >= 0; line += 1) at = text.indexOf('<tr id="row-', at + 1);
    return at;
  }

  function put(text, isAsked) {
    const mine = newest = {};
    const end = isAsked ? endOf(linesInSight(), text) : -1;
    show(end < 0 ? text : text.slice(0, end) + text.slice(text.indexOf("</tbody>")), end < 0);
    if (end < 0) return;
    requestAnimationFrame(() => setTimeout(() => { if (mine === newest) show(text, true); }));
  }

  function show(text, isWhole) {
    const newer = new DOMParser().parseFromString(text, "text/html");
    const hold = anchor();
    for (const id of PIECES) {
      const piece = newer.getElementById(id);
      if (!piece) continue;
      if (id === "views") areViewsDue = false;
      window.libgo.morph(document.getElementById(id), piece);
    }
    hold();
    after();
    document.dispatchEvent(new CustomEvent("drawn", { detail: { elt: table(), isWhole } }));
  }

  // Whoever reads further down keeps before their eyes what they read, whatever comes and goes above it: the
  // line with the focus, else the first in sight that is still there afterwards.
  function anchor() {
    if (!scrollY) return () => {};
    const seen = [...table().querySelectorAll("tr[data-name]")].map((row) => ({ row, ...place(row) }));
    const inSight = seen.filter(({ top, bottom }) => bottom > 0 && top < innerHeight);
    inSight.sort((a, b) => b.row.contains(document.activeElement) - a.row.contains(document.activeElement));
    return () => {
      const kept = inSight.find(({ row }) => row.isConnected);
      const by = kept ? place(kept.row).top - kept.top : 0;
      if (by) scrollBy({ top: by, behavior: "instant" });
    };
  }

  function place(row) {
    const { top, bottom } = row.getBoundingClientRect();
    return { top, bottom };
  }

  function after() {
    document.querySelector("[data-view-query]").value = new URL(here(), location).search;
    const own = document.querySelector("#views [aria-current][data-own]");
    const remove = document.querySelector("[data-view-remove]");
    remove.hidden = !own;
    if (own) {
      const target = document.getElementById("view-remove");
      target.action = target.dataset.action.replace("/0/", `/${own.dataset.own}/`);
      document.getElementById("view-name").value = own.firstChild.textContent;
    }
    usage.watch();
    // Nothing tells that the pointer left what is gone.
    if (preview.link && !preview.link.isConnected) hide();
  }

  // Something happened: look again, but leave the page time to be used.
  function happened() {
    isFresh = false;
    if (!asking && !resting && !document.hidden) draw();
  }

  // -- what the rows use: one socket for all of them -------------------------------------------

  const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"], ONE_DIGIT = { minimumFractionDigits: 1, maximumFractionDigits: 1 };
  function size(value) {
    let unit = 0;
    while (value >= 1024 && unit < UNITS.length - 1) { value /= 1024; unit += 1; }
    return `${unit === 0 || value >= 100 ? Math.round(value) : value.toLocaleString(document.documentElement.lang, ONE_DIGIT)} ${UNITS[unit]}`;
  }

  const usage = {
    socket: null, told: "",

    watch() {
      const ids = [...table().querySelectorAll("tr[data-name]")].map((row) => row.id.slice(4));
      const said = JSON.stringify({ type: "watch", data: { instances: document.hidden ? [] : ids } });
      if (!this.socket) this.open();
      if (this.socket.readyState !== WebSocket.OPEN || said === this.told) return;
      this.told = said;
      this.socket.send(said);
    },

    open() {
      this.told = "";
      this.socket = window.libgo.socket("/ws/v1/usage");
      this.socket.onopen = () => this.watch();
      this.socket.onmessage = (message) => this.show(JSON.parse(message.data));
      this.socket.onclose = () => setTimeout(() => { this.socket = null; this.watch(); }, window.libgo.around(RETRY_MS));
    },

    show({ type, data }) {
      if (type !== "usage") return;
      for (const [id, sample] of Object.entries(data)) {
        const row = document.getElementById(`row-${id}`);
        if (row) this.paint(row, sample);
      }
    },

    paint(row, sample) {
      const cpu = sample?.cpu_percent ?? null, memory = sample?.memory_bytes ?? null;
      const most = Number(row.dataset.memory) || sample?.memory_limit_bytes;
      this.cell(row, "cpu", cpu === null ? "–" : `${Math.round(cpu)} %`, (cpu ?? 0) / (Number(row.dataset.cores) || 1));
      this.cell(row, "memory", memory === null ? "–" : size(memory), most ? (100 * (memory ?? 0)) / most : 0);
    },

    cell(row, kind, text, percent) {
      const cell = row.querySelector(`[data-usage="${kind}"]`);
      if (!cell) return;
      const [words, bar] = [cell.firstElementChild, cell.lastElementChild];
      if (words.textContent !== text) words.textContent = text;
      const value = Math.round(Math.min(100, percent));
      if (bar.value !== value) bar.value = value;
    },
  };

  // -- the screen of a machine, larger, while one points at it ---------------------------------

  const preview = { box: null, link: null };
  function look(link) {
    hide();
    preview.link = link;
    const box = preview.box = document.createElement("div");
    box.className = "preview card";
    const picture = document.createElement("img");
    picture.alt = "";
    picture.src = `${link.dataset.picture}?width=640`;
    picture.onerror = () => { if (preview.box === box) hide(); };
    box.append(picture);
    document.body.append(box);
    const at = link.getBoundingClientRect();
    box.style.left = `${Math.min(at.right + 8, innerWidth - box.offsetWidth - 8)}px`;
    box.style.top = `${Math.max(8, Math.min(at.top - 8, innerHeight - 320))}px`;
  }

  function hide() {
    preview.box?.remove();
    preview.box = preview.link = null;
  }

  // -- what people do --------------------------------------------------------------------------

  // A letter is asked for at once; those that come while its answer is on the way wait for each other.
  function typed() {
    clearTimeout(typing);
    const ask = () => {
      coming = addressOf(wanted());
      draw(true, true).then(() => { if (!asking) setTimeout(arrive, ARRIVE_MS); });
    };
    if (asking) typing = setTimeout(ask, TYPING_MS);
    else ask();
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-go]");
    if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0) {
      event.preventDefault();
      go(new URL(link.href).search).then(fill);
      if (link.closest(".pagination")) table().scrollIntoView({ block: "nearest" });
      return;
    }
    const button = event.target.closest("button[data-do]");
    if (button) {
      event.preventDefault();
      button.disabled = true;
      post(button, button.dataset.do).finally(() => { button.disabled = false; happened(); });
    }
  });

  async function columns(menu) {
    const names = [...menu.querySelectorAll("input:checked")].map((box) => box.value);
    await post(menu, menu.dataset.columns, { columns: names });
    draw();
  }

  function begin() {
    fill();
    form().addEventListener("input", (event) => { if (event.target.type === "search") typed(); });
    form().addEventListener("change", (event) => {
      const menu = event.target.closest("[data-columns]");
      if (event.target.name === "columns" && menu) columns(menu);
      else if (event.target.form === form() && event.target.type !== "search") go(wanted());
    });
    form().addEventListener("submit", (event) => { event.preventDefault(); typed(); });
    document.querySelector("[data-columns]").addEventListener("change", (event) => {
      if (event.target.form !== form()) columns(event.currentTarget);
    });
    table().addEventListener("live", happened);
    addEventListener("popstate", () => { coming = null; draw(true).then(fill); });
    addEventListener("pagehide", arrive);
    document.addEventListener("visibilitychange", () => { usage.watch(); if (!document.hidden && !isFresh) happened(); });
    for (const [on, off] of [["mouseover", "mouseout"], ["focusin", "focusout"]]) {
      document.addEventListener(on, (event) => { const link = event.target.closest("[data-picture]"); if (link) look(link); });
      document.addEventListener(off, (event) => { if (event.target.closest("[data-picture]")) hide(); });
    }
    addEventListener("scroll", hide, { passive: true });
    after();
  }

  document.addEventListener("DOMContentLoaded", begin);
})();
