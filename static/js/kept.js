// What one has typed, ticked, opened or scrolled in a live piece stays so when the piece is drawn again by itself.
// Each thing is known by its row and by what it is called, so that rows may come and go above it.
(() => {
  "use strict";
  const FIELDS = "input:not([type=hidden], [type=file], [data-bulk-item], [data-bulk-all]), select, textarea";
  const sent = new WeakSet(), scrolled = new Set();
  let kept = [];

  const isTick = (field) => field.matches("[type=checkbox], [type=radio]");

  function isChanged(field) {
    if (sent.has(field) || sent.has(field.form)) return false;
    if (isTick(field)) return field.checked !== field.defaultChecked;
    if (!field.matches("select")) return field.value !== field.defaultValue;
    const usual = [...field.options].filter((option) => option.defaultSelected);
    const first = usual.length || field.multiple ? usual : [...field.options].slice(0, 1);
    return [...field.options].some((option) => option.selected !== first.includes(option));
  }

  function wordsOf(element) {
    const row = element.parentElement?.closest("[data-name], [data-key], [data-service], [id]");
    return [
      row?.dataset.name || row?.dataset.key || row?.dataset.service || row?.id,
      element.tagName, element.id, element.getAttribute("name"), element.getAttribute("aria-label"),
      element.form?.getAttribute("hx-post"), isTick(element) ? element.value : "",
      element.querySelector(":scope > summary")?.textContent.trim(),
    ].join("\n");
  }

  const alike = (root, tag, words) => [...root.querySelectorAll(tag)].filter((other) => wordsOf(other) === words);

  // `again` gets what stands in its place afterwards.
  function keep(element, piece, again) {
    const words = wordsOf(element), tag = element.tagName, number = alike(piece, tag, words).indexOf(element);
    kept.push({ id: piece.id, piece, tag, words, number, again });
  }

  function keepField(field, piece) {
    const { checked, value } = field, chosen = [...(field.selectedOptions ?? [])].map((option) => option.value);
    keep(field, piece, (other) => {
      if (isTick(other)) other.checked = checked;
      else if (!other.multiple) other.value = value;
      else for (const option of other.options) option.selected = chosen.includes(option.value);
    });
  }

  function keepScroll(element, piece) {
    const { scrollTop: top, scrollLeft: left } = element;
    keep(element, piece, (other) => other.scrollTo({ top, left, behavior: "instant" }));
  }

  document.addEventListener("htmx:beforeSwap", ({ detail, defaultPrevented }) => {
    const piece = detail.target?.closest?.("[data-live]");
    if (defaultPrevented || !detail.shouldSwap || !piece) return;
    kept = [];
    [...detail.target.querySelectorAll(FIELDS)].filter(isChanged).forEach((field) => keepField(field, piece));
    for (const details of detail.target.querySelectorAll("details")) {
      const { open } = details;
      keep(details, piece, (other) => { other.open = open; });
    }
    for (const element of scrolled) {
      if (!element.isConnected) scrolled.delete(element);
      else if (piece !== element && piece.contains(element)) keepScroll(element, piece);
    }
  });

  document.addEventListener("htmx:afterSwap", () => {
    for (const { id, piece, tag, words, number, again } of kept) {
      const root = document.getElementById(id) || (piece.isConnected ? piece : document);
      const found = alike(root, tag, words)[number];
      if (found) again(found);
    }
    kept = [];
  });

  // What was sent shows what became of it.
  document.addEventListener("htmx:afterRequest", ({ detail }) => { if (detail.successful) sent.add(detail.elt); });
  for (const what of ["input", "change"]) {
    document.addEventListener(what, ({ target }) => { sent.delete(target); sent.delete(target.form); }, true);
  }
  document.addEventListener("scroll", ({ target }) => {
    if (target.scrollTop || target.scrollLeft) scrolled.add(target);
    else scrolled.delete(target);
  }, { capture: true, passive: true });
})();
