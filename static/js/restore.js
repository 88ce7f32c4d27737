// Bring a volume back from its tar: empty it first if that is wanted, then send the file, with progress.
(() => {
  "use strict";
  const token = () => JSON.parse(document.body.getAttribute("hx-headers"))["X-CSRFToken"];

  async function reason(answer) {
    try { return await window.libgo.told((await answer.json()).error.message); } catch { return interpolate(gettext("The server answered %(status)s."), { status: answer.status }, true); }
  }

  async function call(method, url) {
    const answer = await fetch(url, { method, headers: { "X-CSRFToken": token() } });
    if (!answer.ok) throw new Error(await reason(answer));
    return answer;
  }

  async function empty(base, say) {
    const found = await (await call("GET", `${base}/files/list?path=/&limit=5000`)).json();
    for (const [number, entry] of found.entries.entries()) {
      say(interpolate(gettext("Emptying it: %(number)s of %(total)s"), { number: number + 1, total: found.entries.length }, true), 0);
      await call("DELETE", `${base}/files?recursive=true&path=${encodeURIComponent(`/${entry.name}`)}`);
    }
  }

  function send(base, file, say) {
    return new Promise((done, failed) => {
      const request = new XMLHttpRequest();
      request.open("PUT", `${base}/archive?path=/`);
      request.setRequestHeader("X-CSRFToken", token());
      request.setRequestHeader("Content-Type", "application/x-tar");
      request.upload.addEventListener("progress", (event) => {
        const percent = event.lengthComputable ? Math.floor((100 * event.loaded) / event.total) : 0;
        say(interpolate(gettext("Sending: %(percent)s %"), { percent }, true), percent);
      });
      request.addEventListener("load", async () => {
        if (request.status < 300) { done(); return; }
        let text = interpolate(gettext("The server answered %(status)s."), { status: request.status }, true);
        try { text = await window.libgo.told(JSON.parse(request.responseText).error.message); } catch { /* no JSON: the status says it */ }
        failed(new Error(text));
      });
      request.addEventListener("error", () => failed(new Error(gettext("LibGo cannot be reached, or it ended the upload."))));
      request.send(file);
    });
  }

  document.addEventListener("submit", async (event) => {
    const form = event.target.closest("form[data-restore]");
    if (!form) return;
    event.preventDefault();
    const [file] = form.querySelector("input[type=file]").files;
    const note = form.querySelector("[data-note]"), bar = form.querySelector(".progress-bar");
    const button = form.querySelector("button[type=submit]");
    const say = (text, percent) => { note.textContent = text; bar.style.width = `${percent}%`; };
    note.className = "text-secondary";
    if (!file) { say(gettext("Choose a tar file first."), 0); return; }
    button.disabled = true;
    try {
      if (form.querySelector("[name=how]:checked").value === "empty") await empty(form.dataset.restore, say);
      await send(form.dataset.restore, file, say);
      say(gettext("Restored."), 100);
      note.className = "text-green";
    } catch (error) {
      note.className = "text-danger";
      say(error.message, 0);
      button.disabled = false;
    }
  });
})();
