// The same by API: the line of curl that does what a form would do now, and, while one types, what is wrong with it.
//
// A form that includes compute/_api_line.html is sent to its own address with a header that says it is only
// looked at (compute/views/api_line.py). What answers is the form's own code, so the body is the true one.
// libgo.curl(method, url, body) makes the line for those who know the request by themselves (bulk.js).
(() => {
  "use strict";
  const DELAY_MS = 350;
  const timers = new WeakMap(), asked = new WeakMap(), touched = new WeakMap();

  // What a view does not show (secret_shown): the shell puts a variable of this name there.
  const HIDDEN = /\\u0001([A-Z0-9_]+)/g;
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  function curl(method, url, body) {
    const parts = [`curl -X ${method} ${quoted(location.origin + url)}`, '-H "Authorization: Bearer $LIBGO_TOKEN"'];
    if (body !== undefined) parts.push("-H 'Content-Type: application/json'", `-d ${quoted(JSON.stringify(body, null, 2)).replace(HIDDEN, "'\"$$$1\"'")}`);
    return parts.join(" \\\n  ");
  }
  window.libgo = Object.assign(window.libgo || {}, { curl });

  const holder = (form) => form?.querySelector("[data-api-line]");
  const wanted = (form) => { const place = holder(form); return place && (place.open || "apiLive" in place.dataset); };

  function later(form) {
    if (!wanted(form)) return;
    outdate(form);
    clearTimeout(timers.get(form));
    timers.set(form, setTimeout(() => look(form), DELAY_MS));
  }

  async function look(form) {
    clearTimeout(timers.get(form));
    outdate(form);
    const control = new AbortController();
    asked.set(form, control);
    const headers = { ...JSON.parse(document.body.getAttribute("hx-headers") || "{}"), "X-Form-Look": "1" };
    try {
      const answer = await fetch(form.getAttribute("hx-post") || form.getAttribute("action") || location.href, { method: "POST", headers, body: new FormData(form), signal: control.signal });
      if (answer.ok && form.isConnected) show(form, await answer.json());
    } catch (error) {
      if (error.name !== "AbortError") say(form, gettext("The server could not be reached."));
    }
    if (asked.get(form) === control && form.isConnected) fresh(form, true);
  }

  // The line of what stood there before is not for copying, and its answer no longer wanted.
  function outdate(form) {
    asked.get(form)?.abort();
    asked.delete(form);
    fresh(form, false);
  }

  function fresh(form, isFresh) {
    const place = holder(form);
    place.querySelector("[data-api-text]").setAttribute("aria-busy", !isFresh);
    place.querySelector("[data-copy-from]").disabled = !isFresh;
  }

  function show(form, found) {
    const missing = Object.entries(found.errors).map(([name, text]) => `${name}: ${text}`);
    if (found.message) missing.push(found.message);
    if (found.call) say(form, curl(found.call.method, found.call.url, found.call.body), true);
    else say(form, `${gettext("Fill in the form; what is missing:")}\n${missing.join("\n")}`);
    if (!("apiLive" in holder(form).dataset)) return;
    const seen = touched.get(form) || new Set();
    [...form.elements].filter((field) => field.name && seen.has(field.name)).forEach((field) => mark(field, found.errors[field.name] || ""));
  }

  function say(form, text, isLine = false) {
    const place = holder(form);
    place.querySelector("[data-api-text]").textContent = text;
    place.querySelector("[data-copy-from]").hidden = !isLine;
  }

  // One message a field, whoever said it first: the page or this.
  function mark(field, text) {
    const box = field.closest(".mb-3");
    if (!box || field.type === "hidden") return;
    let words = box.querySelector(".invalid-feedback");
    field.classList.toggle("is-invalid", Boolean(text));
    if (text) field.setAttribute("aria-invalid", "true");
    else field.removeAttribute("aria-invalid");
    if (!text) { words?.remove(); return; }
    if (!words) {
      words = document.createElement("div");
      words.className = "invalid-feedback d-block";
      words.dataset.field = field.name;
      words.setAttribute("role", "status");
      (box.querySelector(".form-hint") || box.lastElementChild).before(words);
      if (!box.querySelector(".form-hint")) box.append(words);
    }
    words.textContent = text;
  }

  function changed(event) {
    const form = event.target.form;
    if (!form || !holder(form)) return;
    if (!touched.has(form)) touched.set(form, new Set());
    if (event.target.name) touched.get(form).add(event.target.name);
    later(form);
  }
  document.addEventListener("input", changed);
  document.addEventListener("change", changed);
  document.addEventListener("toggle", (event) => {
    if (event.target.matches?.("[data-api-line]") && event.target.open) look(event.target.closest("form"));
  }, true);

  // What cannot be taken back waits until its name is typed.
  document.addEventListener("input", (event) => {
    const { confirm } = event.target.dataset || {};
    if (confirm === undefined) return;
    const form = event.target.form;
    (form.querySelector("[data-needs-confirm]") || form.querySelector("[type=submit]")).disabled = event.target.value.trim() !== confirm;
  });

  // A button that puts a text into a field, such as the name of an image.
  document.addEventListener("click", (event) => {
    const pick = event.target.closest("[data-pick-for]");
    if (!pick) return;
    const field = document.getElementById(pick.dataset.pickFor);
    field.value = pick.dataset.pick;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    field.focus();
  });

  // What is copied: data-copy, or the text of the nearest element that data-copy-from names.
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy], [data-copy-from]");
    if (!button) return;
    const text = button.dataset.copy ?? button.parentElement.querySelector(button.dataset.copyFrom).textContent;
    const said = await copied(text) ? gettext("Copied") : gettext("Not allowed");
    const before = button.dataset.copyWord ?? button.textContent;
    button.dataset.copyWord = before;
    button.textContent = said;
    setTimeout(() => { button.textContent = before; }, 1500);
  });

  async function copied(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // Pages without TLS have no clipboard of their own.
      const field = document.createElement("textarea");
      field.value = text;
      field.className = "visually-hidden";
      document.body.append(field);
      field.select();
      const done = document.execCommand("copy");
      field.remove();
      return done;
    }
  }
})();
