// Files of a container or a volume: look around, read and edit text, bring files in and out.
// Names come from there and may hold anything: they are only ever shown as text.
(() => {
  "use strict";
  const EDIT_MAX = 256 * 1024;
  // Outlines on a grid of 20: what there is no drawing for is drawn as a file.
  const KINDS = { file: gettext("file"), directory: gettext("folder"), symlink: gettext("link") };
  const SHAPES = {
    directory: "M2.5 5.5a1 1 0 0 1 1-1h4l2 2h7a1 1 0 0 1 1 1v7a1 1 0 0 1-1 1h-13a1 1 0 0 1-1-1z",
    file: "M5 2.5h6.5l4 4v11H5zM11.5 2.5v4h4",
    symlink: "M8 12l4-4M9 6l1.5-1.5a3.2 3.2 0 0 1 4.5 4.5L13.5 10.5M6.5 9.5 5 11a3.2 3.2 0 0 0 4.5 4.5L11 14",
  };
  document.addEventListener("DOMContentLoaded", () => {
    const box = document.getElementById("files");
    if (!box) return;
    const get = (id) => document.getElementById(`files-${id}`);
    const mayWrite = Boolean(box.dataset.mayWrite);
    const token = JSON.parse(document.body.getAttribute("hx-headers"))["X-CSRFToken"];
    const Modal = window.tabler.Modal || window.tabler.bootstrap.Modal;
    const editor = new Modal(get("editor")), asking = new Modal(get("ask"));
    let folder = "/", round = 0, open = null;

    const url = (base, params) => {
      const query = new URLSearchParams(box.dataset.query);
      Object.entries(params).forEach(([key, value]) => query.set(key, value));
      return `${base}?${query}`;
    };
    const file = (path, extra = {}) => url(box.dataset.files, { path, ...extra });
    const join = (name) => (folder === "/" ? `/${name}` : `${folder}/${name}`);
    const parent = (path) => path.slice(0, path.lastIndexOf("/")) || "/";

    // -- talking to the API -------------------------------------------------------------------

    async function call(method, address, body, headers = {}) {
      let answer;
      try {
        answer = await fetch(address, { method, body, headers: { "X-CSRFToken": token, ...headers } });
      } catch {
        throw Object.assign(new Error(gettext("LibGo cannot be reached. Look at your connection and try again.")), { status: 0 });
      }
      if (answer.ok) return answer;
      throw Object.assign(new Error(await reason(answer)), { status: answer.status });
    }
    async function reason(answer) {
      try { return await window.libgo.told((await answer.json()).error.message); } catch { return interpolate(gettext("The server answered %(status)s."), { status: answer.status }, true); }
    }
    function note(text) {
      get("note").textContent = text || "";
      get("note").hidden = !text;
      if (text) get("note").scrollIntoView({ block: "nearest" });
    }
    async function attempt(work) {
      note("");
      try { await work(); } catch (error) { note(error.message); }
    }

    // -- looking around -----------------------------------------------------------------------

    function here() {
      let path = "/";
      try { path = decodeURIComponent(location.hash.slice(1)) || "/"; } catch { path = "/"; }
      return path.startsWith("/") ? path.replace(/(.)\/+$/, "$1") : "/";
    }
    function go(path) {
      const hash = `#${encodeURI(path).replace(/#/g, "%23").replace(/\?/g, "%3F")}`;
      if (location.hash === hash) look(); else location.hash = hash;
    }
    async function look() {
      const mine = ++round;
      folder = here();
      crumbs();
      get("tar").href = url(box.dataset.archive, { path: folder });
      get("state").textContent = gettext("Looking …");
      try {
        const answer = await call("GET", url(`${box.dataset.files}/list`, { path: folder }));
        const found = await answer.json();
        if (mine === round) { note(""); show(found); }
      } catch (error) {
        if (mine !== round) return;
        note(error.message);
        get("rows").replaceChildren();
        get("state").textContent = "";
        get("hint").hidden = true;
      }
    }
    function crumbs() {
      const parts = folder.split("/").filter(Boolean);
      const items = ["/", ...parts].map((name, at) => {
        const item = document.createElement("li");
        item.className = "breadcrumb-item";
        if (at === parts.length) { item.classList.add("active"); item.setAttribute("aria-current", "page"); item.textContent = name; return item; }
        item.append(link(name, () => go(`/${parts.slice(0, at).join("/")}`)));
        return item;
      });
      get("path").replaceChildren(...items);
    }
    function link(text, act) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "btn-link p-0 text-start text-reset files-name";
      button.textContent = text;
      button.addEventListener("click", act);
      return button;
    }
    function show(found) {
      const isFolder = (entry) => entry.type === "directory" || entry.target_type === "directory";
      const entries = [...found.entries].sort((a, b) => isFolder(b) - isFolder(a) || a.name.localeCompare(b.name));
      const rows = entries.map((entry) => row(entry, isFolder(entry)));
      if (folder !== "/") rows.unshift(up());
      get("rows").replaceChildren(...rows);
      get("state").textContent = entries.length ? interpolate(ngettext("%(n)s entry", "%(n)s entries", entries.length), { n: entries.length }, true)
        : mayWrite ? gettext("This folder is empty. Upload something, or drop files here.") : gettext("This folder is empty.");
      get("hint").hidden = !found.truncated;
      get("hint").textContent = found.method === "archive"
        ? gettext("There may be more than is shown: what does not run, or has no shell, is looked through by its archive for a few seconds only.")
        : gettext("There is more than is shown here. Download the folder to have all of it.");
    }
    function cell(content, classes = "") {
      const td = document.createElement("td");
      td.className = classes;
      td.append(content);
      return td;
    }
    function up() {
      const tr = document.createElement("tr");
      const td = cell(link("↩ up", () => go(parent(folder))));
      td.colSpan = 6;
      tr.append(td);
      return tr;
    }
    function row(entry, isFolder) {
      const tr = document.createElement("tr");
      tr.dataset.name = entry.name;
      const name = document.createElement("div");
      name.className = "d-flex gap-2";
      const mark = icon(entry.type === "symlink" ? "symlink" : isFolder ? "directory" : "file", KINDS[entry.type] ?? entry.type);
      const path = join(entry.name);
      const readable = isFolder || entry.type === "file" || entry.type === "symlink";
      const label = readable ? link(entry.name, () => (isFolder ? go(path) : edit(path, entry))) : document.createTextNode(entry.name);
      const words = document.createElement("div");
      words.append(label);
      if (entry.link_target) {
        const to = document.createElement("div");
        to.className = "text-secondary small text-break";
        to.textContent = `→ ${entry.link_target}`;
        words.append(to);
      }
      name.append(mark, words);
      const changed = document.createElement("span");
      if (entry.modified_at) { changed.textContent = window.libgo.exactText(new Date(entry.modified_at)); changed.title = entry.modified_at; }
      const owner = entry.uid === null ? "" : `${entry.uid}:${entry.gid}`;
      tr.append(cell(name), cell(isFolder ? "" : size(entry.size), "text-end text-nowrap"), cell(entry.mode, "d-none d-md-table-cell font-monospace"),
        cell(owner, "d-none d-lg-table-cell"), cell(changed, "d-none d-md-table-cell text-secondary text-nowrap"), cell(menu(entry, path, isFolder)));
      return tr;
    }
    function icon(shape, meaning) {
      const space = "http://www.w3.org/2000/svg";
      const svg = document.createElementNS(space, "svg");
      const drawn = document.createElementNS(space, "path");
      Object.entries({ width: 20, height: 20, viewBox: "0 0 20 20", role: "img", "aria-label": meaning, class: `files-icon files-icon-${shape}` }).forEach(([key, value]) => svg.setAttribute(key, value));
      drawn.setAttribute("d", SHAPES[shape]);
      svg.append(drawn);
      return svg;
    }
    function size(bytes) {
      const units = ["B", "KiB", "MiB", "GiB", "TiB"];
      let at = 0;
      while (bytes >= 1024 && at < units.length - 1) { bytes /= 1024; at += 1; }
      return `${at ? bytes.toLocaleString(document.documentElement.lang, { minimumFractionDigits: 1, maximumFractionDigits: 1 }) : bytes} ${units[at]}`;
    }
    function menu(entry, path, isFolder) {
      const holder = document.createElement("div");
      holder.className = "dropdown";
      const toggle = document.createElement("button");
      toggle.type = "button";
      toggle.className = "btn btn-sm btn-ghost-secondary";
      toggle.textContent = "⋯";
      toggle.setAttribute("aria-label", interpolate(gettext("Actions for %(name)s"), { name: entry.name }, true));
      toggle.dataset.bsToggle = "dropdown";
      toggle.dataset.bsPopperConfig = '{"strategy":"fixed"}';
      const list = document.createElement("div");
      list.className = "dropdown-menu dropdown-menu-end";
      const add = (text, act, classes = "") => {
        const item = document.createElement("button");
        item.type = "button";
        item.className = `dropdown-item ${classes}`;
        item.textContent = text;
        item.addEventListener("click", act);
        list.append(item);
      };
      if (!isFolder && entry.type === "file") add(gettext("Download"), () => leave(file(path)));
      add(gettext("Download as tar"), () => leave(url(box.dataset.archive, { path })));
      if (mayWrite) {
        add(gettext("Rename"), () => rename(entry, path));
        add(gettext("Delete"), () => remove(entry, path), "text-danger");
      }
      holder.append(toggle, list);
      return holder;
    }
    function leave(address) {
      const anchor = document.createElement("a");
      anchor.href = address;
      anchor.download = "";
      anchor.click();
    }

    // -- asking -------------------------------------------------------------------------------

    function ask({ title, text = "", yes, danger = false, name }) {
      get("ask-title").textContent = title;
      get("ask-text").textContent = text;
      get("ask-yes").textContent = yes;
      get("ask-yes").className = `btn ${danger ? "btn-danger" : "btn-primary"}`;
      get("ask-colour").className = `modal-status ${danger ? "bg-danger" : "bg-primary"}`;
      get("ask-name").hidden = name === undefined;
      get("ask-name").required = name !== undefined;
      get("ask-name").value = name || "";
      return new Promise((resolve) => {
        let said = null;
        const sent = (event) => { event.preventDefault(); said = name === undefined ? true : get("ask-name").value.trim(); asking.hide(); };
        const shown = () => (name === undefined ? get("ask-yes") : get("ask-name")).focus();
        get("ask-form").addEventListener("submit", sent);
        get("ask").addEventListener("shown.bs.modal", shown, { once: true });
        get("ask").addEventListener("hidden.bs.modal", () => { get("ask-form").removeEventListener("submit", sent); resolve(said); }, { once: true });
        asking.show();
      });
    }
    async function named(options) {
      const name = await ask({ name: "", ...options });
      if (!name) return null;
      if (name.includes("/")) { note(gettext("A name cannot hold a slash.")); return null; }
      return name;
    }
    async function rename(entry, path) {
      const name = await named({ title: interpolate(gettext("Rename %(name)s"), { name: entry.name }, true), yes: gettext("Rename"), name: entry.name });
      if (!name || name === entry.name) return;
      await attempt(async () => { await call("POST", url(`${box.dataset.files}/rename`, { path, to: join(name) })); await look(); });
    }
    async function remove(entry, path) {
      const isTree = entry.type === "directory";
      const text = isTree ? gettext("The folder goes with all that is in it. This cannot be undone.") : gettext("This cannot be undone.");
      if (!await ask({ title: interpolate(gettext("Delete %(name)s?"), { name: entry.name }, true), text, yes: gettext("Delete"), danger: true })) return;
      await attempt(async () => { await call("DELETE", file(path, isTree ? { recursive: "true" } : {})); await look(); });
    }
    async function newFolder() {
      const name = await named({ title: gettext("New folder"), yes: gettext("Make it") });
      if (!name) return;
      await attempt(async () => { await call("POST", url(`${box.dataset.files}/folders`, { path: join(name) })); await look(); });
    }
    async function newFile() {
      const name = await named({ title: gettext("New text file"), yes: gettext("Make it") });
      if (!name) return;
      await attempt(async () => {
        const path = join(name);
        await call("PUT", file(path), "", { "If-None-Match": "*" }).catch((error) => {
          throw error.status === 412 ? new Error(interpolate(gettext("There is already a “%(name)s”."), { name }, true)) : error;
        });
        await look();
        await edit(path, { name, size: 0, type: "file" });
      });
    }

    // -- reading and editing ------------------------------------------------------------------

    async function edit(path, entry) {
      if (entry.type === "file" && entry.size > EDIT_MAX) { leave(file(path)); return; }
      await attempt(async () => {
        const read = await load(path);
        if (read === null) { note(interpolate(gettext("“%(name)s” is no text, or too large to be shown here. Download it instead."), { name: entry.name }, true)); return; }
        open = { path, ...read };
        get("editor-title").textContent = path;
        get("text").value = read.text;
        warn("");
        state(mayWrite ? "" : gettext("You may read it only."));
        editor.show();
      });
    }
    async function load(path) {
      const answer = await call("GET", file(path));
      if (Number(answer.headers.get("Content-Length")) > EDIT_MAX) { if (answer.body) await answer.body.cancel(); return null; }
      const bytes = await answer.arrayBuffer();
      let text;
      try { text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes); } catch { return null; }
      if (text.includes("\0")) return null;
      return { text, tag: answer.headers.get("ETag"), crlf: text.includes("\r\n") && !/[^\r]\n/.test(text) };
    }
    function warn(text) {
      get("editor-note").textContent = text;
      get("editor-note").hidden = !text;
      if (get("overwrite")) get("overwrite").hidden = !text;
    }
    function state(text) { get("editor-state").textContent = text; }
    function edited() { return open !== null && get("text").value !== open.text.replace(/\r\n/g, "\n"); }
    async function save(over) {
      const typed = get("text").value;
      const text = open.crlf ? typed.replace(/\n/g, "\r\n") : typed;
      state(gettext("Saving …"));
      try {
        const answer = await call("PUT", file(open.path), new Blob([text]), over ? {} : { "If-Match": open.tag });
        open = { ...open, text, tag: (await answer.json()).etag };
        warn("");
        state(interpolate(gettext("Saved at %(time)s"), { time: window.libgo.exactText(new Date()).slice(11) }, true));
        look();
      } catch (error) {
        state(gettext("Not saved."));
        if (error.status === 412) warn(gettext("It changed in the container since you opened it. Close it to drop your text and read it again, or save yours over it."));
        else { warn(error.message); get("overwrite").hidden = true; }
      }
    }
    get("editor").addEventListener("shown.bs.modal", () => { get("text").focus(); get("text").setSelectionRange(0, 0); });
    get("editor").addEventListener("hide.bs.modal", (event) => {
      if (mayWrite && edited() && !window.confirm(gettext("Your changes are not saved. Drop them?"))) event.preventDefault();
    });
    if (mayWrite) {
      get("save").addEventListener("click", () => save(false));
      get("overwrite").addEventListener("click", () => save(true));
      get("text").addEventListener("keydown", (event) => {
        if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "s") { event.preventDefault(); save(false); }
      });
    }

    // -- uploads ------------------------------------------------------------------------------

    const queue = [];
    let isSending = false;
    function enqueue(list) {
      [...list].forEach((item) => queue.push({ item, path: join(item.name), ...bar(item.name) }));
      if (!isSending) drain();
    }
    function bar(name) {
      const line = document.createElement("div");
      line.className = "list-group-item d-flex align-items-center gap-3 py-2";
      const label = document.createElement("span");
      label.className = "text-break flex-fill";
      label.textContent = name;
      const track = document.createElement("div");
      track.className = "progress files-progress";
      const fill = document.createElement("div");
      fill.className = "progress-bar";
      fill.setAttribute("role", "progressbar");
      fill.setAttribute("aria-label", name);
      track.append(fill);
      const told = document.createElement("span");
      told.className = "text-secondary text-nowrap small";
      told.textContent = gettext("waits");
      const stop = document.createElement("button");
      stop.type = "button";
      stop.className = "btn btn-sm";
      stop.textContent = gettext("Cancel");
      line.append(label, track, told, stop);
      get("uploads").append(line);
      return { line, fill, told, stop };
    }
    async function drain() {
      isSending = true;
      while (queue.length) {
        const one = queue.shift();
        if (one.line.isConnected) await upload(one, true);
      }
      isSending = false;
      look();
    }
    async function upload(one, isNew) {
      const { status, message } = await send(one, isNew);
      if (status === 412 && isNew) {
        const yes = await ask({ title: interpolate(gettext("Replace %(name)s?"), { name: one.item.name }, true), text: gettext("There is already a file of this name here. Its content will be lost."), yes: gettext("Replace"), danger: true });
        if (yes) { await upload(one, false); return; }
        one.line.remove();
        return;
      }
      if (status === 200 || status === 201) { one.line.remove(); return; }
      one.told.textContent = message;
      one.told.className = "text-danger small text-break";
      one.fill.classList.add("bg-danger");
      one.stop.textContent = gettext("Dismiss");
      one.stop.onclick = () => one.line.remove();
    }
    function send(one, isNew) {
      return new Promise((resolve) => {
        const request = new XMLHttpRequest();
        request.open("PUT", file(one.path));
        request.setRequestHeader("X-CSRFToken", token);
        if (isNew) request.setRequestHeader("If-None-Match", "*");
        request.upload.onprogress = (event) => {
          const percent = event.total ? Math.round((event.loaded / event.total) * 100) : 0;
          one.fill.style.width = `${percent}%`;
          one.told.textContent = percent < 100 ? interpolate(gettext("%(percent)s % of %(size)s"), { percent, size: size(event.total) }, true) : gettext("writing …");
        };
        request.onload = async () => {
          let message = interpolate(gettext("The server answered %(status)s."), { status: request.status }, true);
          try { message = await window.libgo.told(JSON.parse(request.responseText).error.message); } catch { /* The answer says no more. */ }
          resolve({ status: request.status, message });
        };
        request.onerror = () => resolve({ status: 0, message: gettext("The connection broke off.") });
        request.onabort = () => resolve({ status: 0, message: gettext("Cancelled.") });
        one.stop.onclick = () => request.abort();
        request.send(one.item);
      });
    }
    if (mayWrite) {
      get("upload").addEventListener("click", () => get("input").click());
      get("input").addEventListener("change", (event) => { enqueue(event.target.files); event.target.value = ""; });
      get("new-folder").addEventListener("click", newFolder);
      get("new-file").addEventListener("click", newFile);
      box.addEventListener("dragover", (event) => { event.preventDefault(); box.classList.add("files-drop"); });
      box.addEventListener("dragleave", () => box.classList.remove("files-drop"));
      box.addEventListener("drop", (event) => { event.preventDefault(); box.classList.remove("files-drop"); enqueue(event.dataTransfer.files); });
      window.addEventListener("beforeunload", (event) => { if (isSending) event.preventDefault(); });
    }
    get("again").addEventListener("click", look);
    window.addEventListener("hashchange", look);
    look();
  });
})();
