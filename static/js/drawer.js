// The drawer of tasks at the foot of every page. Open or closed is remembered; what it shows comes from the server
// and moves by itself (live.js).
(() => {
  "use strict";
  const KEY = "drawer";

  function set(open) {
    const toggle = document.getElementById("drawer-toggle"), body = document.getElementById("drawer-body");
    toggle.setAttribute("aria-expanded", String(open));
    document.documentElement.classList.toggle("drawer-open", open);
    body.hidden = !open;
    if (open) htmx.ajax("GET", body.dataset.url, { target: body, swap: "innerHTML" });
    // A closed drawer costs nothing: its live region is gone with what it showed.
    else body.replaceChildren();
  }

  // Up and down from task to task; Escape closes it and goes back to its button.
  function key(event) {
    const toggle = document.getElementById("drawer-toggle");
    if (event.key === "Escape" && toggle.getAttribute("aria-expanded") === "true") {
      toggle.click();
      toggle.focus();
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const tasks = [...document.querySelectorAll("#tasks .list-group-item")], here = tasks.indexOf(document.activeElement);
      const next = here >= 0 && tasks[here + (event.key === "ArrowDown" ? 1 : -1)];
      if (!next) return;
      next.focus();
    } else return;
    event.preventDefault();
  }

  document.addEventListener("DOMContentLoaded", () => {
    document.getElementById("drawer").addEventListener("keydown", key);
    const toggle = document.getElementById("drawer-toggle");
    toggle.addEventListener("click", () => {
      const open = toggle.getAttribute("aria-expanded") !== "true";
      localStorage.setItem(KEY, open ? "open" : "");
      set(open);
    });
    if (localStorage.getItem(KEY)) set(true);
  });
})();
