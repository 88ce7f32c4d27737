// A form that sends one file in pieces, so that a broken-off upload goes on where it was.
//
//   <form data-pieces="/api/v1/kvm/images/uploads">
//     <input type="file" data-pieces-file required>
//     data-pieces-field="name" goes into the body that begins the upload, data-pieces-query into its address
//     and the progress, error and stop elements of upload.js
//
// The last piece names an operation: the page goes there, where the rest of the work shows.
(() => {
  "use strict";
  const ONE_DIGIT = { minimumFractionDigits: 1, maximumFractionDigits: 1 };
  const mib = (bytes) => (bytes / MIB).toLocaleString(document.documentElement.lang, ONE_DIGIT);
  const MIB = 1024 * 1024, PIECE = 16 * MIB, TRIES = 6;

  function headers(more) {
    return { ...JSON.parse(document.body.getAttribute("hx-headers") || "{}"), ...more };
  }

  async function asked(method, url, body, type, signal) {
    const sent = await fetch(url, { method, body, signal, headers: headers(type ? { "Content-Type": type } : {}) });
    const answer = await sent.json().catch(() => null);
    if (sent.ok && answer) return answer;
    const error = new Error((await window.libgo.told(answer?.error?.message)) || interpolate(gettext("The server answered %(status)s."), { status: sent.status }, true));
    error.status = sent.status;
    error.details = answer?.error?.details || {};
    throw error;
  }

  const known = {
    key: (file) => `libgo-upload:${file.name}:${file.size}:${file.lastModified}`,
    get(file) { try { return localStorage.getItem(this.key(file)); } catch { return null; } },
    set(file, id) { try { localStorage.setItem(this.key(file), id); } catch { /* it works without, but not over a reload */ } },
    drop(file) { try { localStorage.removeItem(this.key(file)); } catch { /* nothing was kept then */ } },
  };

  async function begun(form, file, signal) {
    const before = known.get(file);
    if (before) {
      try {
        const found = await asked("GET", `${form.dataset.pieces}/${before}`, undefined, "", signal);
        return { id: before, offset: found.offset };
      } catch (error) {
        if (error.status !== 404) throw error;
        known.drop(file);
      }
    }
    const body = { size_bytes: file.size, name: file.name };
    form.querySelectorAll("[data-pieces-field]").forEach((field) => {
      if (field.value.trim()) body[field.dataset.piecesField] = field.value.trim();
    });
    const url = new URL(form.dataset.pieces, location.origin);
    url.searchParams.set("wait", "30");
    form.querySelectorAll("[data-pieces-query]").forEach((field) => {
      if (field.value) url.searchParams.set(field.dataset.piecesQuery, field.value);
    });
    const answer = await asked("POST", url, JSON.stringify(body), "application/json", signal);
    known.set(file, answer.upload.id);
    return { id: answer.upload.id, offset: 0 };
  }

  async function sendAll(form, file, signal, told) {
    let { id, offset } = await begun(form, file, signal);
    const url = `${form.dataset.pieces}/${id}`;
    for (let tries = 0; ;) {
      told(offset);
      try {
        const piece = file.slice(offset, offset + PIECE);
        const answer = await asked("PATCH", `${url}?offset=${offset}`, piece, "application/octet-stream", signal);
        [offset, tries] = [answer.upload.offset, 0];
        if (answer.operation) {
          known.drop(file);
          return answer.operation.id;
        }
      } catch (error) {
        // A line that was cut, or a server that is away for a moment: ask where it stands, and go on.
        const passes = error.status === undefined || error.status >= 500 || error.status === 429 || "offset" in (error.details || {});
        tries += 1;
        if (signal.aborted || !passes || tries > TRIES) {
          if (error.status === 400) known.drop(file);
          throw error;
        }
        await new Promise((done) => setTimeout(done, 500 * 2 ** tries));
        const stands = await asked("GET", url, undefined, "", signal).catch(() => null);
        if (stands) offset = stands.offset;
      }
    }
  }

  async function run(form, file) {
    const place = form.querySelector("[data-upload-progress]");
    const [bar, words] = [place.querySelector(".progress-bar"), place.querySelector("span")];
    const [stop, box] = [form.querySelector("[data-upload-stop]"), form.querySelector("[data-upload-error]")];
    const [submit, control] = [form.querySelector("[type=submit]"), new AbortController()];
    const busy = (is) => { place.hidden = stop.hidden = !is; submit.disabled = is; };
    stop.onclick = () => control.abort();
    box.hidden = true;
    busy(true);
    try {
      const operation = await sendAll(form, file, control.signal, (offset) => {
        bar.style.width = `${Math.round((100 * offset) / file.size)}%`;
        words.textContent = interpolate(gettext("%(sent)s of %(total)s MiB"), { sent: mib(offset), total: mib(file.size) }, true);
      });
      location.assign(`/operations/${operation}`);
    } catch (error) {
      busy(false);
      box.textContent = control.signal.aborted
        ? gettext("Paused. Upload the same file again to go on where it stands.")
        : error.message;
      box.hidden = false;
    }
  }

  document.addEventListener("submit", (event) => {
    const form = event.target.closest("[data-pieces]");
    if (!form) return;
    event.preventDefault();
    const file = form.querySelector("[data-pieces-file]").files[0];
    if (file) run(form, file);
  });
})();
