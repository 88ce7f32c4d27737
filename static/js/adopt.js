// The page of unmanaged instances: tick all; the filter goes along when a rule is made of it.
(() => {
  "use strict";
  const ticks = () => [...document.querySelectorAll("[data-adopt] [name=ids]")];

  function paint() {
    const chosen = ticks().filter((box) => box.checked).length;
    const button = document.querySelector("[data-adopt-chosen]");
    if (button) button.disabled = chosen === 0;
    const all = document.querySelector("[data-adopt-all]");
    if (!all) return;
    all.checked = chosen > 0 && chosen === ticks().length;
    all.indeterminate = chosen > 0 && !all.checked;
  }

  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-adopt-all]")) ticks().forEach((box) => { box.checked = event.target.checked; });
    paint();
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-adopt-rule]");
    if (!link) return;
    const given = [...new FormData(document.getElementById("adopt"))];
    const kept = given.filter(([name, value]) => value && !["csrfmiddlewaretoken", "ids"].includes(name));
    link.href = `${link.href.split("?")[0]}?${new URLSearchParams(kept)}`;
  });
  document.addEventListener("htmx:afterSettle", paint);
  document.addEventListener("DOMContentLoaded", paint);
})();
