// Light, dark, high contrast, or as the system says: what was chosen is remembered. Runs before the first paint.
(() => {
  "use strict";
  const dark = matchMedia("(prefers-color-scheme: dark)"), more = matchMedia("(prefers-contrast: more)");
  const root = document.documentElement;
  const chosen = () => { try { return localStorage.getItem("theme") || "auto"; } catch { return "auto"; } };

  function apply() {
    const wanted = chosen();
    const scheme = wanted === "light" || wanted === "dark" ? wanted : dark.matches ? "dark" : "light";
    root.setAttribute("data-bs-theme", scheme);
    // Swagger's word for it.
    root.classList.toggle("dark-mode", scheme === "dark");
    root.toggleAttribute("data-contrast", wanted === "contrast" || (wanted === "auto" && more.matches));
    document.querySelectorAll("[data-theme]").forEach((button) => {
      const is = button.dataset.theme === wanted;
      button.classList.toggle("active", is);
      button.setAttribute("aria-pressed", String(is));
    });
  }

  apply();
  dark.addEventListener("change", apply);
  more.addEventListener("change", apply);
  // Paper is white.
  addEventListener("beforeprint", () => root.setAttribute("data-bs-theme", "light"));
  addEventListener("afterprint", apply);
  document.addEventListener("DOMContentLoaded", apply);
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-theme]");
    if (!button) return;
    try { localStorage.setItem("theme", button.dataset.theme); } catch { /* It holds for this page then. */ }
    apply();
  });
})();
