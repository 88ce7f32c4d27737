// The browser tells when something that one started is over, while one looks elsewhere or when it took long. Wanted
// only by a click on the button in the drawer's bar, which is when the browser asks for permission.
(() => {
  "use strict";
  const KEY = "notify", LONG_MS = 20000;
  const ENDS = ["operation.succeeded", "operation.failed", "operation.cancelled", "operation.interrupted"];
  const begun = new Map();
  const can = "Notification" in window;

  function wanted() {
    try { return can && Notification.permission === "granted" && localStorage.getItem(KEY) === "yes"; } catch { return false; }
  }

  function paint(button) {
    button.hidden = !can;
    const is = wanted();
    button.setAttribute("aria-pressed", String(is));
    const refused = can && Notification.permission === "denied";
    button.textContent = is ? gettext("Notifications on") : refused ? gettext("Notifications are blocked") : gettext("Notify me");
    button.title = refused ? gettext("The browser does not allow them for this site; its settings can.") : gettext("Tell me when what I started is over, also while I look elsewhere");
    button.disabled = refused;
  }

  async function toggle(button) {
    const is = wanted();
    if (!is && Notification.permission === "default") await Notification.requestPermission();
    try { localStorage.setItem(KEY, is ? "" : "yes"); } catch { /* Not remembered then. */ }
    paint(button);
  }

  async function tell({ type, data }) {
    const took = Date.now() - (begun.get(data.operation) ?? Date.now());
    begun.delete(data.operation);
    if (!wanted() || !(document.hidden || took >= LONG_MS)) return;
    const action = data.action.replace(/^instance\./, "").replaceAll("_", " ");
    const what = `${pgettext("word", action)} ${data.instance_name || ""}`.trim();
    // One word for each operation, however many pages are open.
    const said = new Notification(`LibGo: ${what} ${pgettext("word", type.split(".")[1])}`, { body: type === "operation.succeeded" ? "" : await window.libgo.told(data.message), tag: data.operation });
    said.onclick = () => { window.focus(); location.assign(`/operations/${data.operation}`); };
  }

  document.addEventListener("fact", ({ detail }) => {
    if (detail.data?.user !== document.body.dataset.user || !detail.data.operation) return;
    if (detail.type === "operation.running") begun.set(detail.data.operation, Date.now());
    if (ENDS.includes(detail.type)) tell(detail);
  });
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("notify");
    if (!button) return;
    paint(button);
    button.addEventListener("click", () => toggle(button));
  });
})();
