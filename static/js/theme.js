// Light or dark: what was chosen, else what the system says. Runs before the first paint.
(() => {
  const wanted = localStorage.getItem("theme") || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  document.documentElement.setAttribute("data-bs-theme", wanted);
})();
