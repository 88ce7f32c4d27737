// Many things at once: a column of check boxes, and a bar with what can be done to those chosen.
//
// How a page uses it (see templates/compute/_bulk_bar.html, _bulk_all.html and _bulk_item.html):
//
//   {% include "compute/_bulk_bar.html" with bulk="images" one="image" many="images" actions=bulk_actions %}
//   <div data-bulk="images">                the table; htmx may swap it as often as it likes
//     <th>{% include "compute/_bulk_all.html" %}</th>
//     <td>{% include "compute/_bulk_item.html" with id=row.id label=row.name can="remove" %}</td>
//
// On the box of an item:
//   data-bulk-item    what goes into the address for {id}
//   data-bulk-label   how people call it
//   data-bulk-can     words of the actions that are possible on it; without it all are
// On a button of the bar (a view gives them as dicts: word, label, method, url, title, text, danger, body):
//   data-bulk-action  the word; data-bulk-method and data-bulk-url: a route of the API with {id} in it.
//                     With “?wait=0” the operation is followed to its end, however long it takes
//   data-bulk-title, data-bulk-text, data-bulk-danger: what is asked before; without a text nothing is.
//                     In the title {n} is how many
//   data-bulk-body    JSON to send along
//   data-bulk-door    a route that takes {action, ids | filter, options} for all of them; it answers with one
//                     operation whose children are the items. Then no url is needed, and work goes on when the
//                     page is left. data-bulk-options: JSON of its options; data-bulk-choose: JSON of those that
//                     a person chooses in the dialog, {name: [values]}
// On the table, for actions with a door: data-bulk-total and data-bulk-filter (JSON): how many there are
// besides those that are shown, and what says which; then the bar offers all of them.
//
// What is chosen stays chosen when the table is swapped; what the table shows no more is dropped, so
// nothing is ever done to what cannot be seen. Three requests run at a time. Those that went well are
// no longer chosen afterwards. Shift chooses a range.
(() => {
  "use strict";
  const AT_ONCE = 3;
  const TURNS_MAX = 20;
  const LOOK_MS = 500;
  const chosen = new Map();
  const everything = new Set();
  let last = null;

  const of = (name) => {
    if (!chosen.has(name)) chosen.set(name, new Map());
    return chosen.get(name);
  };
  const table = (name) => document.querySelector(`[data-bulk="${CSS.escape(name)}"]`);
  const bar = (name) => document.querySelector(`[data-bulk-bar="${CSS.escape(name)}"]`);
  const boxes = (name) => [...(table(name)?.querySelectorAll("[data-bulk-item]") ?? [])];

  function take(name, box) {
    const { bulkItem: id, bulkLabel: label, bulkCan: can } = box.dataset;
    if (box.checked) of(name).set(id, { id, label, can: can === undefined ? null : can.split(" ") });
    else of(name).delete(id);
  }

  // After a swap: the boxes as they were, without what is gone.
  function restore(name) {
    const seen = boxes(name);
    const ids = new Set(seen.map((box) => box.dataset.bulkItem));
    [...of(name).keys()].filter((id) => !ids.has(id)).forEach((id) => of(name).delete(id));
    seen.forEach((box) => {
      box.checked = of(name).has(box.dataset.bulkItem);
      if (box.checked) take(name, box);
    });
    paint(name);
  }

  const fitting = (name, word) => [...of(name).values()].filter((item) => !item.can || item.can.includes(word));

  function paint(name) {
    const count = of(name).size;
    const shown = boxes(name).length;
    const total = Number(table(name)?.dataset.bulkTotal || 0);
    if (count < shown || total <= shown) everything.delete(name);
    const all = table(name)?.querySelector("[data-bulk-all]");
    if (all) {
      all.checked = count > 0 && count === boxes(name).length;
      all.indeterminate = count > 0 && !all.checked;
      all.disabled = boxes(name).length === 0;
    }
    const strip = bar(name);
    if (!strip) return;
    strip.hidden = count === 0;
    document.documentElement.classList.toggle("has-bulk", !!document.querySelector(".bulk-bar:not([hidden])"));
    const whole = everything.has(name);
    strip.querySelector("[data-bulk-count]").textContent = whole ? interpolate(gettext("All %(total)s that match"), { total }, true) : interpolate(gettext("%(count)s selected"), { count }, true);
    const more = strip.querySelector("[data-bulk-everything]");
    if (more) {
      more.hidden = whole || count < shown || total <= shown;
      more.textContent = interpolate(gettext("Select all %(total)s that match"), { total }, true);
    }
    strip.querySelectorAll("[data-bulk-action]").forEach((button) => {
      const fit = whole && button.dataset.bulkDoor ? count : fitting(name, button.dataset.bulkAction).length;
      button.disabled = fit === 0;
      const plain = button.dataset.bulkLabel;
      button.textContent = fit === count || fit === 0 ? plain : `${plain} (${fit})`;
    });
  }

  function element(tag, className, text) {
    const made = document.createElement(tag);
    made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function button(className, text) {
    const made = element("button", className, text);
    made.type = "button";
    return made;
  }

  const counted = (text, n) => text.replace("{n}", n);

  // One dialog asks, then shows how it goes, item by item.
  function ask(name, source) {
    const { bulkAction: word, bulkTitle: title, bulkText: text, bulkDanger: danger } = source.dataset;
    const whole = everything.has(name) && Boolean(source.dataset.bulkDoor);
    const items = whole ? [] : fitting(name, word);
    const count = whole ? Number(table(name).dataset.bulkTotal) : items.length;
    const dialog = element("dialog", "bulk-dialog card");
    const question = counted(title || source.dataset.bulkLabel, count);
    dialog.setAttribute("aria-label", question);
    const head = element("div", "card-body pb-2");
    head.append(element("h3", "card-title mb-1", question));
    const say = element("p", "text-secondary mb-0", text || "");
    head.append(say);
    const picked = choices(head, source);
    const list = element("div", "list-group list-group-flush bulk-list");
    items.forEach((item) => line(list, item));
    const same = apiLine({ name, source, items, whole, picked }, head);
    const foot = element("div", "card-footer d-flex gap-2");
    const leave = button("btn", gettext("Cancel"));
    const go = button(`btn ms-auto ${danger ? "btn-danger" : "btn-primary"}`, source.dataset.bulkLabel);
    foot.append(leave, go);
    dialog.append(head, list, same, foot);
    document.body.append(dialog);
    leave.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => { dialog.remove(); back(name, source); });
    const job = { name, source, picked, items, whole, list, foot, say, go, leave };
    const begin = () => (source.dataset.bulkDoor ? together(job) : run(job));
    go.addEventListener("click", begin);
    dialog.showModal();
    if (text) leave.focus();
    else begin();
  }

  // To what opened the dialog; when nothing is chosen any more, that is hidden, and the list goes on.
  function back(name, source) {
    const rest = table(name)?.querySelector("tbody a.fw-bold") || table(name)?.querySelector("a[href]");
    (source.offsetParent ? source : rest)?.focus();
  }

  const bodyOf = ({ name, source, items, whole, picked }) => ({
    action: source.dataset.bulkAction,
    options: { ...JSON.parse(source.dataset.bulkOptions || "{}"), ...picked() },
    ...(whole ? { filter: JSON.parse(table(name).dataset.bulkFilter) } : { ids: items.map((item) => item.id) }),
  });

  // The same by API: one line for all where there is a door, else one for each.
  function apiLine(job, head) {
    const { source, items } = job;
    const { bulkDoor: door, bulkMethod: method, bulkUrl: url, bulkBody: body } = source.dataset;
    const lines = () => door
      ? [window.libgo.curl("POST", door, bodyOf(job))]
      : items.map((item) => window.libgo.curl(method || "POST", url.replace("{id}", encodeURIComponent(item.id)), body ? JSON.parse(body) : undefined));
    const details = element("details", "api-line card-body py-2 border-top");
    details.append(element("summary", "", gettext("The same by API")));
    const place = element("div", "position-relative mt-2"), text = element("pre", "api-line-text");
    const code = element("code", "", lines().join("\n"));
    head.addEventListener("change", () => { code.textContent = lines().join("\n"); });
    code.dataset.apiText = "";
    text.append(code);
    text.tabIndex = 0;
    const copy = button("btn btn-sm api-line-copy", gettext("Copy"));
    copy.dataset.copyFrom = "[data-api-text]";
    place.append(text, copy);
    details.append(place);
    return details;
  }

  // A field for each option that is chosen here; the values as they stand when it begins.
  function choices(head, source) {
    const fields = Object.entries(JSON.parse(source.dataset.bulkChoose || "{}")).map(([option, values]) => {
      const label = element("label", "form-label mt-3", option === "project" ? gettext("Project") : option);
      const field = element("select", "form-select mt-1");
      field.name = option;
      values.forEach((value) => field.append(new Option(value, value)));
      label.append(field);
      head.append(label);
      return field;
    });
    return () => Object.fromEntries(fields.map((field) => [field.name, field.value]));
  }

  function line(list, item) {
    const row = element("div", "list-group-item py-2");
    const words = element("div", "d-flex gap-2");
    item.mark = element("span", "ms-auto text-nowrap text-secondary", "");
    words.append(element("span", "text-break", item.label), item.mark);
    item.why = element("div", "small text-danger text-break");
    row.append(words, item.why);
    list.append(row);
  }

  const headers = () => ({
    ...JSON.parse(document.body.getAttribute("hx-headers") || "{}"),
    Accept: "application/json", "Content-Type": "application/json",
  });

  async function asked(method, url, body) {
    try {
      const answer = await fetch(url, { method, headers: headers(), body, credentials: "same-origin" });
      const said = await answer.json().catch(() => null);
      return { ok: answer.ok, said, why: (await window.libgo.told(said?.error?.message)) || interpolate(gettext("The server answered %(status)s."), { status: answer.status }, true) };
    } catch {
      return { ok: false, said: null, why: gettext("The server could not be reached.") };
    }
  }

  // One request for all of them; the operation goes on by itself, and this only looks at it.
  async function together(job) {
    const { name, source, items, foot, say, go, leave } = job;
    go.disabled = true;
    const first = await asked("POST", source.dataset.bulkDoor, JSON.stringify(bodyOf(job)));
    if (!first.ok) {
      say.className = "text-danger mb-0";
      say.textContent = first.why;
      go.disabled = false;
      return;
    }
    go.remove();
    let operation = first.said.operation;
    const address = `/api/v1/operations/${operation.id}`;
    const link = element("a", "btn btn-ghost-secondary", gettext("Open the operation"));
    link.href = `/operations/${operation.id}`;
    const stop = button("btn ms-auto", gettext("Stop the rest"));
    stop.addEventListener("click", async () => {
      stop.disabled = true;
      const answer = await asked("DELETE", address);
      if (!answer.ok) say.textContent = answer.why;
    });
    leave.textContent = gettext("Close");
    foot.append(link, stop);
    const dialog = leave.closest("dialog");
    everything.delete(name);
    draw(job, operation);
    while (!operation.finished_at && dialog.isConnected) {
      await new Promise((resolve) => { setTimeout(resolve, LOOK_MS); });
      const answer = await asked("GET", address);
      if (answer.ok) {
        operation = answer.said;
        draw(job, operation);
      } else say.textContent = answer.why;
    }
    stop.remove();
    if (dialog.isConnected) leave.focus();
  }

  const ENDS = {
    succeeded: gettext("done"), failed: gettext("failed"), cancelled: gettext("not done"), interrupted: gettext("interrupted"),
  };

  function count(done, total, bad) {
    const text = bad ? gettext("%(done)s of %(total)s done, %(bad)s not done") : gettext("%(done)s of %(total)s done");
    return interpolate(text, { done, total, bad }, true);
  }

  // How each child of the operation is now.
  function draw({ name, items, list, say }, operation) {
    const known = new Map(items.map((item) => [item.id, item]));
    const children = operation.children || [];
    children.forEach((child) => {
      let item = known.get(child.instance);
      if (!item) {
        item = { id: child.instance, label: child.instance_name || child.instance };
        items.push(item);
        line(list, item);
      }
      const end = ENDS[child.state];
      const colour = child.state === "succeeded" ? "text-green" : end ? "text-red" : "text-secondary";
      item.mark.className = `ms-auto text-nowrap ${colour}`;
      item.mark.textContent = end || (child.state === "waiting" ? gettext("waiting") : `${Math.round(child.progress)}%`);
      window.libgo.told(child.error?.message).then((text) => { item.why.textContent = text; });
      if (child.state === "succeeded") of(name).delete(item.id);
    });
    const over = children.filter((child) => ENDS[child.state]);
    const bad = over.filter((child) => child.state !== "succeeded").length;
    say.textContent = count(over.length - bad, children.length, bad);
    restore(name);
  }

  async function run({ name, source, items, say, go, leave }) {
    go.remove();
    leave.textContent = gettext("Stop");
    const work = { left: [...items], done: 0, bad: 0, stopped: false };
    const stop = () => { work.stopped = true; };
    leave.closest("dialog").addEventListener("close", stop);
    const tell = () => { say.textContent = count(work.done - work.bad, items.length, work.bad); };
    tell();
    const one = async () => {
      while (work.left.length && !work.stopped) {
        const item = work.left.shift();
        item.mark.textContent = gettext("at work …");
        const result = await send(source.dataset, item.id);
        work.done += 1;
        if (!result.ok) work.bad += 1;
        item.mark.className = `ms-auto text-nowrap ${result.ok ? "text-green" : "text-red"}`;
        item.mark.textContent = result.mark;
        item.why.textContent = result.why;
        if (result.ok) of(name).delete(item.id);
        tell();
        restore(name);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, one));
    leave.textContent = gettext("Close");
    leave.focus();
  }

  // The result of one request, in words.
  async function send({ bulkMethod: method, bulkUrl: url, bulkBody: body }, id) {
    const sent = headers();
    if (!body) delete sent["Content-Type"];
    try {
      const answer = await fetch(url.replace("{id}", encodeURIComponent(id)), {
        method: method || "POST", headers: sent, body: body || undefined, credentials: "same-origin",
      });
      const said = await answer.json().catch(() => null);
      if (answer.status === 202) return await follow(said?.operation?.id);
      if (answer.ok) return { ok: true, mark: gettext("done"), why: "" };
      return { ok: false, mark: gettext("failed"), why: (await window.libgo.told(said?.error?.message)) || interpolate(gettext("The server answered %(status)s."), { status: answer.status }, true) };
    } catch {
      return { ok: false, mark: gettext("failed"), why: gettext("The server could not be reached.") };
    }
  }

  // What an operation comes to, asked again while it goes on.
  async function follow(id) {
    for (let turn = 0; id && turn < TURNS_MAX; turn += 1) {
      const answer = await fetch(`/api/v1/operations/${id}/wait?timeout=30`, { credentials: "same-origin" });
      const operation = await answer.json();
      if (!answer.ok) return { ok: false, mark: gettext("failed"), why: await window.libgo.told(operation?.error?.message) };
      if (operation.state === "succeeded") return { ok: true, mark: gettext("done"), why: "" };
      if (operation.finished_at) return { ok: false, mark: ENDS[operation.state] || operation.state, why: await window.libgo.told(operation.error?.message) };
    }
    return { ok: true, mark: gettext("still at work"), why: "" };
  }

  document.addEventListener("change", (event) => {
    const place = event.target.closest("[data-bulk]");
    if (!place) return;
    const name = place.dataset.bulk;
    if (event.target.matches("[data-bulk-all]")) {
      boxes(name).forEach((box) => { box.checked = event.target.checked; take(name, box); });
    } else if (event.target.matches("[data-bulk-item]")) {
      take(name, event.target);
    } else return;
    paint(name);
  });

  document.addEventListener("click", (event) => {
    const box = event.target.closest("[data-bulk-item]");
    if (box) {
      const name = box.closest("[data-bulk]").dataset.bulk;
      const all = boxes(name);
      const from = all.findIndex((other) => other.dataset.bulkItem === last);
      if (event.shiftKey && from >= 0) {
        const to = all.indexOf(box);
        all.slice(Math.min(from, to), Math.max(from, to) + 1).forEach((other) => {
          other.checked = box.checked;
          take(name, other);
        });
        paint(name);
      }
      last = box.dataset.bulkItem;
      return;
    }
    const strip = event.target.closest("[data-bulk-bar]");
    if (!strip) return;
    const name = strip.dataset.bulkBar;
    const action = event.target.closest("[data-bulk-action]");
    if (action) ask(name, action);
    if (event.target.closest("[data-bulk-everything]")) {
      everything.add(name);
      paint(name);
    }
    if (event.target.closest("[data-bulk-clear]")) {
      everything.delete(name);
      of(name).clear();
      restore(name);
    }
  });

  const again = () => document.querySelectorAll("[data-bulk]").forEach((place) => restore(place.dataset.bulk));
  document.addEventListener("htmx:afterSettle", again);
  document.addEventListener("drawn", (event) => { if (event.detail.isWhole) again(); });
  document.addEventListener("DOMContentLoaded", again);
})();
