// Ctrl-K: every page, instance, node and action by a few letters. Pages come from this page's menus, the rest
// from the server. Arrows choose, Enter does, Escape leaves.
(() => {
  "use strict";
  const WAIT_MS = 120;
  const PAGES_MAX = 6;
  let dialog, input, list, timer, chosen = -1, asked = 0;
  // Until there is an answer to all that is typed, what stands there was found for fewer letters: Enter waits for it,
  // unless one has chosen with the arrows.
  let isOld = false, isPicked = false, isEntered = false;

  function make(tag, name, attributes) {
    const element = document.createElement(tag);
    element.className = name;
    Object.entries(attributes || {}).forEach(([key, value]) => element.setAttribute(key, value));
    return element;
  }

  function build() {
    dialog = make("dialog", "palette card", { "aria-label": gettext("Go to or do") });
    input = make("input", "form-control form-control-lg", {
      type: "search", placeholder: gettext("Go to or do: a page, an instance, “stop web” …"), "aria-label": gettext("Go to or do"),
      role: "combobox", "aria-expanded": "true", "aria-controls": "palette-list", "aria-autocomplete": "list",
      autocomplete: "off", spellcheck: "false", maxlength: "100",
    });
    list = make("div", "palette-list", { id: "palette-list", role: "listbox", "aria-label": gettext("Choices") });
    dialog.append(input, list);
    document.body.append(dialog);
    input.addEventListener("input", typed);
    dialog.addEventListener("close", () => settle(false));
    dialog.addEventListener("keydown", key);
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog) dialog.close();
      const choice = event.target.closest(".palette-choice");
      if (choice) { event.preventDefault(); take(choice); }
    });
  }

  function open() {
    if (!dialog) build();
    if (dialog.open) { dialog.close(); return; }
    input.value = "";
    clearTimeout(timer);
    asked += 1;
    dialog.showModal();
    pages();
  }

  function typed() {
    clearTimeout(timer);
    timer = setTimeout(look, WAIT_MS);
    asked += 1;
    pages();
    isOld = true;
    isEntered = false;
  }

  function settle(isAnswered) {
    const isDue = isEntered && isAnswered;
    isOld = isEntered = false;
    if (isDue) enter();
  }

  const nameOf = (link) => link.textContent.trim().toLowerCase();

  function pages() {
    const words = input.value.trim().toLowerCase();
    const found = [...document.querySelectorAll(".navbar a[href^='/']:not(.navbar-brand)")]
      .filter((link) => nameOf(link) && nameOf(link).includes(words))
      .sort((one, other) => nameOf(other).startsWith(words) - nameOf(one).startsWith(words));
    const lines = found.slice(0, words ? PAGES_MAX : found.length).map((link) => {
      const line = make("a", "palette-choice", { role: "option", tabindex: "-1", href: link.getAttribute("href") });
      const mark = make("span", "palette-mark", { "aria-hidden": "true" });
      mark.textContent = "→";
      const name = make("span", "fw-bold");
      name.textContent = link.textContent.trim();
      const hint = make("span", "ms-auto ps-3 text-secondary small");
      // Two halves have a page of this name: the menu tells them apart.
      hint.textContent = link.closest(".dropdown")?.querySelector(".dropdown-toggle")?.textContent.trim() || gettext("page");
      line.append(mark, name, hint);
      return line;
    });
    show([...list.querySelectorAll(".palette-choice:not([data-page])")].filter(() => words), lines);
  }

  function show(found, pagesFound) {
    pagesFound.forEach((line) => { line.dataset.page = ""; });
    list.replaceChildren(...found, ...pagesFound);
    if (!list.children.length && input.value.trim()) {
      const nothing = make("div", "p-3 text-secondary");
      nothing.textContent = gettext("Nothing is called so.");
      list.append(nothing);
    }
    choices().forEach((line, number) => { line.id = `palette-${number}`; });
    isPicked = false;
    choose(choices().length ? 0 : -1);
  }

  async function look() {
    const words = input.value.trim(), number = ++asked;
    const box = document.createElement("template");
    try {
      const answer = words && await fetch(`/palette?q=${encodeURIComponent(words)}`, { headers: { "HX-Request": "true" } });
      if (answer?.ok) box.innerHTML = await answer.text();
    } catch { /* The line is down, which the mark in the header tells; pages can still be found. */ }
    // A slow answer to fewer letters must not take the place of a later one.
    if (number !== asked || !dialog.open) return;
    show([...box.content.children], [...list.querySelectorAll("[data-page]")]);
    settle(true);
  }

  const choices = () => [...list.querySelectorAll(".palette-choice")];

  function choose(number) {
    const all = choices();
    all.forEach((line, place) => line.setAttribute("aria-selected", String(place === number)));
    chosen = number;
    if (all[number]) {
      input.setAttribute("aria-activedescendant", all[number].id);
      all[number].scrollIntoView({ block: "nearest" });
    } else input.removeAttribute("aria-activedescendant");
  }

  function key(event) {
    const count = choices().length;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      isPicked = count > 0;
      if (count) choose((chosen + (event.key === "ArrowDown" ? 1 : count - 1)) % count);
    } else if (event.key === "Escape") {
      // A search field would keep the first one for itself.
      event.preventDefault();
      dialog.close();
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (isOld && !isPicked) isEntered = true;
      else enter();
    }
  }

  function enter() {
    const line = choices()[chosen];
    if (line) take(line);
  }

  function take(line) {
    dialog.close();
    if ("change" in line.dataset) {
      htmx.ajax("POST", line.getAttribute("href"), { source: document.body, swap: "none" });
    } else location.assign(line.href);
  }

  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && event.key.toLowerCase() === "k") {
      event.preventDefault();
      open();
    }
  });
  document.addEventListener("DOMContentLoaded", () => {
    document.getElementById("palette-open").addEventListener("click", open);
  });
})();
