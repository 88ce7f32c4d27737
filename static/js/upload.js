// A form that sends one file as the body of an API request, and shows how far it is.
//
//   <form data-upload="/api/v1/docker/images/load">
//     <input type="file" data-upload-file required>
//     inputs with a name go into the address; a text area with data-upload-pairs goes as a JSON object
//     <div data-upload-progress hidden><div class="progress"><div class="progress-bar"></div></div><span></span></div>
//     <div data-upload-error hidden></div>
//     <button type="submit"> <button type="button" data-upload-stop hidden>
//
// The answer names an operation: the page goes there, where the rest of the work shows.
(() => {
  "use strict";
  const MIB = 1024 * 1024, ONE_DIGIT = { minimumFractionDigits: 1, maximumFractionDigits: 1 };
  const mib = (bytes) => (bytes / MIB).toLocaleString(document.documentElement.lang, ONE_DIGIT);

  function address(form) {
    const url = new URL(form.dataset.upload, location.origin);
    form.querySelectorAll("[name]").forEach((field) => {
      if (field.name === "csrfmiddlewaretoken" || (field.type === "checkbox" && !field.checked)) return;
      const value = "uploadPairs" in field.dataset ? pairs(field.value) : field.value.trim();
      if (value) url.searchParams.set(field.name, value);
    });
    return url;
  }

  function pairs(text) {
    const lines = text.split("\n").map((line) => line.trim()).filter(Boolean);
    if (!lines.length) return "";
    return JSON.stringify(Object.fromEntries(lines.map((line) => {
      const at = line.indexOf("=");
      return at < 0 ? [line, ""] : [line.slice(0, at), line.slice(at + 1)];
    })));
  }

  function complain(form, text) {
    const box = form.querySelector("[data-upload-error]");
    box.textContent = text;
    box.hidden = !text;
  }

  function said(request) {
    try { return JSON.parse(request.responseText); } catch { return null; }
  }

  function send(form, file) {
    const request = new XMLHttpRequest();
    const place = form.querySelector("[data-upload-progress]");
    const [bar, words] = [place.querySelector(".progress-bar"), place.querySelector("span")];
    const stop = form.querySelector("[data-upload-stop]");
    const busy = (is) => {
      place.hidden = stop.hidden = !is;
      form.querySelector("[type=submit]").disabled = is;
    };
    request.upload.addEventListener("progress", (event) => {
      const percent = event.total ? Math.round((100 * event.loaded) / event.total) : 0;
      bar.style.width = `${percent}%`;
      words.textContent = percent < 100
        ? interpolate(gettext("%(sent)s of %(total)s MiB"), { sent: mib(event.loaded), total: mib(event.total) }, true)
        : gettext("Sent. The engine works on it …");
    });
    request.addEventListener("load", async () => {
      const answer = said(request);
      if (request.status < 300 && answer?.operation) {
        location.assign(`/operations/${answer.operation.id}`);
        return;
      }
      busy(false);
      complain(form, (await window.libgo.told(answer?.error?.message)) || interpolate(gettext("The server answered %(status)s."), { status: request.status }, true));
    });
    request.addEventListener("error", () => { busy(false); complain(form, gettext("The connection broke off.")); });
    request.addEventListener("abort", () => { busy(false); complain(form, gettext("Stopped; nothing of it was kept.")); });
    request.open("POST", address(form));
    const headers = JSON.parse(document.body.getAttribute("hx-headers") || "{}");
    Object.entries(headers).forEach(([name, value]) => request.setRequestHeader(name, value));
    request.setRequestHeader("Content-Type", form.dataset.uploadType || "application/x-tar");
    stop.onclick = () => request.abort();
    complain(form, "");
    busy(true);
    request.send(file);
  }

  document.addEventListener("submit", (event) => {
    const form = event.target.closest("[data-upload]");
    if (!form) return;
    event.preventDefault();
    const file = form.querySelector("[data-upload-file]").files[0];
    if (file) send(form, file);
  });
})();
