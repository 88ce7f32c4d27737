// The map of networks: larger, smaller, moved, searched. It is an ordinary scrolled box, so arrow keys, a wheel
// and a finger move it as they move everything; a mouse may also drag it. What happens draws it again in place.
(() => {
  "use strict";
  const STEP = 1.25, LEAST = 0.5, MOST = 6;
  const PACE_MS = 1000;
  const DRAG_PX = 4, DRAG_MS = 50;
  const NOTCH_PX = 100, LINE_PX = 33;
  let scale = 1, resting = false, missed = false;

  const map = () => document.getElementById("map");
  const field = () => document.getElementById("map-q");

  // The middle of what one looks at stays in the middle, and under a pointer what is there.
  function zoom(to, pointer) {
    const before = scale;
    scale = Math.min(MOST, Math.max(LEAST, to));
    const ratio = scale / before, views = [...document.querySelectorAll(".map-view")];
    const held = views.map((view) => {
      const { left, top } = view.getBoundingClientRect();
      const isUnder = pointer && view.contains(pointer.target);
      const x = isUnder ? pointer.clientX - left : view.clientWidth / 2, y = isUnder ? pointer.clientY - top : view.clientHeight / 2;
      return { view, isUnder, at: top, left: (view.scrollLeft + x) * ratio - x, top: (view.scrollTop + y) * ratio - y };
    });
    map().style.setProperty("--zoom", scale);
    held.forEach(({ view, left, top }) => view.scrollTo({ left, top, behavior: "instant" }));
    // The maps above it have grown, too, and one that shows all of its height is scrolled by the page.
    const under = held.find(({ isUnder }) => isUnder);
    if (under) scrollBy({ top: under.view.getBoundingClientRect().top - under.at + under.top - under.view.scrollTop, behavior: "instant" });
  }

  // A notch of a wheel is a step of the buttons; two fingers tell many small ones.
  function wheeled(event) {
    if (!event.ctrlKey || !event.target.closest(".map-view")) return;
    event.preventDefault();
    const pixels = event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? event.deltaY : event.deltaY * LINE_PX;
    zoom(scale * STEP ** (-pixels / NOTCH_PX), event);
  }

  const zooms = { in: () => zoom(scale * STEP), out: () => zoom(scale / STEP), fit: () => zoom(1) };

  function find() {
    const words = field().value.toLowerCase().split(/\s+/).filter(Boolean);
    const names = new Set();
    map().querySelectorAll("[data-find], [data-instance]").forEach((item) => {
      const text = (item.querySelector("title") || item).textContent.toLowerCase();
      const fits = words.every((word) => text.includes(word));
      if (item.nodeName === "LI") item.hidden = !fits;
      else item.classList.toggle("netmap-dim", !fits);
      if (fits && item.dataset.instance) names.add(item);
    });
    if (words.length) map().querySelectorAll("details").forEach((each) => { each.open = Boolean(each.querySelector("li[data-find]:not([hidden])")); });
    document.getElementById("map-found").textContent = words.length
      ? interpolate(ngettext("%(n)s found", "%(n)s found", names.size), { n: names.size }, true) : "";
  }

  // The first that was found, in the middle of its view, and with the focus. Where the map is a list, it may be
  // among those that the list only counts.
  function reach() {
    const first = map().querySelector("[data-instance]:not(.netmap-dim)"), words = field().value.trim();
    if (!first || !words) return;
    if (!first.checkVisibility()) { location.assign(`${map().dataset.instances}?q=${encodeURIComponent(words)}`); return; }
    first.focus({ preventScroll: true });
    first.scrollIntoView({ block: "center", inline: "center" });
  }

  async function draw() {
    if (resting || document.hidden) { missed = true; return; }
    resting = true;
    missed = false;
    try {
      const answer = await fetch(map().dataset.map, { headers: { "HX-Request": "true" }, credentials: "same-origin" });
      if (answer.ok) {
        const newer = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("map-body");
        if (newer) window.libgo.morph(document.getElementById("map-body"), newer);
        find();
      }
    } catch { /* The line is lost; its return looks again. */ }
    setTimeout(() => { resting = false; if (missed) draw(); }, PACE_MS);
  }

  // A drag moves the map; a click without one opens what it hits.
  function drag(event) {
    const view = event.target.closest(".map-view");
    if (!view || event.button !== 0 || event.pointerType !== "mouse") return;
    const [x, y, left, top] = [event.clientX, event.clientY, view.scrollLeft, view.scrollTop];
    let moved = false;
    const move = (now) => {
      if (Math.hypot(now.clientX - x, now.clientY - y) > DRAG_PX) moved = true;
      if (!moved) return;
      view.classList.add("dragged");
      view.scrollLeft = left - (now.clientX - x);
      view.scrollTop = top - (now.clientY - y);
    };
    const end = () => {
      removeEventListener("pointermove", move);
      view.classList.remove("dragged");
      if (!moved) return;
      const swallow = (click) => { click.preventDefault(); click.stopPropagation(); };
      addEventListener("click", swallow, { capture: true, once: true });
      setTimeout(() => removeEventListener("click", swallow, { capture: true }), DRAG_MS);
    };
    addEventListener("pointermove", move);
    addEventListener("pointerup", end, { once: true });
  }

  function keyed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, dialog")) return;
    const word = { "+": "in", "=": "in", "-": "out", 0: "fit" }[event.key];
    if (!word) return;
    event.preventDefault();
    zooms[word]();
  }

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("[data-zoom]").forEach((button) => button.addEventListener("click", () => zooms[button.dataset.zoom]()));
    field().addEventListener("input", find);
    document.getElementById("map-form").addEventListener("submit", (event) => { event.preventDefault(); reach(); });
    document.querySelector("#map-form [name=node]")?.addEventListener("change", (event) => {
      location.search = event.target.value ? `?node=${encodeURIComponent(event.target.value)}` : "";
    });
    map().addEventListener("live", draw);
    map().addEventListener("pointerdown", drag);
    map().addEventListener("dragstart", (event) => event.preventDefault());
    map().addEventListener("wheel", wheeled, { passive: false });
    document.addEventListener("keydown", keyed);
    document.addEventListener("visibilitychange", () => { if (!document.hidden && missed) draw(); });
    find();
  });
})();
