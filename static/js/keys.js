// Lists by the keyboard: j and k go down and up, Enter opens, x ticks, / searches, ? tells the keys.
// The focus itself moves, so what a screen reader says and what Enter does agree.
(() => {
  "use strict";
  const ROW = "main tbody tr:not(.group-row):has(a[href])";
  const HELP = [
    ["j  k", gettext("next and previous line of a list")], ["Enter", gettext("open it")], ["x", gettext("tick it")], ["/", gettext("search here")],
    ["↓", gettext("from the search into the list")], ["n  p", gettext("next and previous page")], ["←  →", gettext("from tab to tab")],
    ["Ctrl K", gettext("go to anything, do anything")], ["?", gettext("these keys")],
  ];
  let place = -1, help;

  const isTyping = (element) => element.closest("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable], .xterm, canvas");
  const rows = () => [...document.querySelectorAll(ROW)].filter((row) => row.offsetParent);
  const linkOf = (row) => row.querySelector(".name-cell a.fw-bold, a.fw-bold, a[href]");

  function go(step) {
    const all = rows();
    if (!all.length) return;
    const now = all.findIndex((row) => row.contains(document.activeElement));
    // A list that was drawn again has lost the focus: go on from where it was.
    place = Math.max(0, Math.min(all.length - 1, (now >= 0 ? now : place) + step));
    linkOf(all[place]).focus({ preventScroll: true });
    all[place].scrollIntoView({ block: "nearest", behavior: "instant" });
  }

  function tick() {
    const row = document.activeElement.closest(ROW) || rows()[place];
    row?.querySelector("input[type=checkbox]")?.click();
  }

  function tell() {
    if (!help) {
      help = document.createElement("dialog");
      help.className = "keys-help card";
      help.setAttribute("aria-label", gettext("Keys"));
      const list = document.createElement("dl");
      HELP.forEach(([key, text]) => {
        const name = document.createElement("dt"), words = document.createElement("dd");
        name.append(...key.split(/\s{2,}/).map((part) => {
          const cap = document.createElement("kbd");
          cap.textContent = part;
          return cap;
        }));
        words.textContent = text;
        list.append(name, words);
      });
      help.append(list);
      help.addEventListener("click", () => help.close());
      document.body.append(help);
    }
    help.showModal();
  }

  // Out of the search, to what it found.
  function leaveSearch(event) {
    if (event.key === "ArrowDown" && rows().length) {
      place = -1;
      event.target.blur();
      go(1);
    } else if (event.key === "Escape" && !event.target.value) event.target.blur();
    else return;
    event.preventDefault();
  }

  // Tabs are links: the arrows go from one to the next, Enter opens it.
  function alongTabs(event) {
    const tabs = [...event.target.closest(".nav-tabs").querySelectorAll(".nav-link")], here = tabs.indexOf(event.target);
    const to = { ArrowRight: (here + 1) % tabs.length, ArrowLeft: (here + tabs.length - 1) % tabs.length, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined) return;
    tabs[to].focus();
    event.preventDefault();
  }

  // Of many tabs on a phone, the one that is open is in sight.
  document.addEventListener("DOMContentLoaded", () => {
    const here = document.querySelector(".tabs-scroll .nav-link.active");
    if (here) here.closest(".tabs-scroll").scrollLeft = here.offsetLeft - here.offsetWidth;
  });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (event.target.matches("main input[type=search]")) leaveSearch(event);
    if (event.target.matches(".nav-tabs .nav-link")) alongTabs(event);
    if (isTyping(event.target) || document.querySelector("dialog[open], .modal.show")) return;
    const search = document.querySelector("main input[type=search]");
    if (event.key === "j") go(1);
    else if (event.key === "k") go(-1);
    else if (event.key === "x") tick();
    else if (event.key === "n") document.querySelector("main a[rel=next]")?.click();
    else if (event.key === "p") document.querySelector("main a[rel=prev]")?.click();
    else if (event.key === "?") tell();
    else if (event.key === "/" && search) search.focus();
    else return;
    event.preventDefault();
  });
})();
