// Follow a log: pause by scrolling up, find, times, colours, catch up after a lost line. Lines are text,
// never markup; the page keeps a bounded number of them.
(() => {
  "use strict";
  const KEPT = 5000;
  const AT_ONCE = 1000;
  const COMPARED = 400;
  const RETRY_MS = [500, 1000, 2000, 4000, 8000];
  // How grave a line is, as most programs say it near its beginning, also within JSON. Lines with colours of their own
  // keep these.
  const HEAD = 120;
  const LEVELS = [
    ["error", /\b(?:fatal|panic|critical|crit|error|err|severe|emerg|alert)\b/i],
    ["warn", /\b(?:warning|warn)\b/i],
    ["debug", /\b(?:debug|trace|verbose)\b/i],
  ];
  const PLAIN = /\b(?:info|notice)\b/i;
  const FINAL = [1000, 4400, 4401, 4403, 4404, 4429];

  function levelOf(text) {
    if (text.includes("\u001b[")) return "";
    const head = text.slice(0, HEAD);
    // What names itself harmless first is so, whatever it tells about.
    const plain = head.search(PLAIN);
    const [level] = LEVELS.find(([, pattern]) => { const at = head.search(pattern); return at >= 0 && (plain < 0 || at < plain); }) || [""];
    return level;
  }

  function start(box) {
    const by = (name) => document.getElementById(`log-${name}`);
    const state = by("state"), search = by("search"), more = by("more"), hits = by("hits");
    const count = new Intl.NumberFormat(document.documentElement.lang);
    const clock = new Intl.DateTimeFormat(document.documentElement.lang, { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hour12: false });
    const full = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "long" });
    let colours = {}, waiting = [], unseen = 0, socket = null, tries = 0, isOver = false, drawing = false;
    // A hit near the end is looked at, not followed away.
    let found = [], current = -1, heldUntil = 0;
    // What was got last, to leave it out when the server repeats it after a reconnect.
    let recent = [], repeated = null;

    // -- lines -------------------------------------------------------------------------------
    function row(item) {
      const line = document.createElement("div");
      if (item.mark) {
        line.className = `mark mark-${item.mark}`;
        line.textContent = item.text;
        return line;
      }
      if (item.stream === "stderr") line.classList.add("stderr");
      const level = levelOf(item.text);
      if (level) line.classList.add(`level-${level}`);
      if (item.timestamp) {
        const at = new Date(item.timestamp), time = document.createElement("time");
        time.textContent = clock.format(at);
        time.title = full.format(at);
        time.dateTime = item.timestamp;
        line.append(time);
      }
      const text = document.createElement("span");
      colours[item.stream] = colours[item.stream] || {};
      text.append(window.libgo.ansi(item.text, colours[item.stream]));
      line.append(text);
      return line;
    }

    function follows() { return by("follow").checked; }

    function draw() {
      drawing = false;
      const dropped = waiting.length - KEPT;
      if (dropped > 0) waiting.splice(0, dropped, { mark: "skipped", text: interpolate(gettext("… %(n)s older lines are not shown …"), { n: count.format(dropped) }, true) });
      const items = waiting.splice(0, AT_ONCE);
      const made = document.createDocumentFragment();
      items.forEach((item) => made.append(row(item)));
      box.append(made);
      while (box.childElementCount > KEPT) box.firstElementChild.remove();
      by("older").hidden = box.childElementCount < KEPT;
      if (follows()) box.scrollTop = box.scrollHeight;
      else unseen += items.filter((item) => !item.mark).length;
      showUnseen();
      if (search.value) find(false);
      if (waiting.length) schedule();
    }

    function schedule() { if (!drawing) { drawing = true; requestAnimationFrame(draw); } }
    function add(items) { waiting.push(...items); schedule(); }

    function showUnseen() {
      more.hidden = follows() || !unseen;
      more.textContent = interpolate(ngettext("%(n)s new line ↓", "%(n)s new lines ↓", unseen), { n: count.format(unseen) }, true);
    }

    function pause(paused) {
      by("follow").checked = !paused;
      if (!paused) { unseen = 0; box.scrollTop = box.scrollHeight; }
      showUnseen();
      if (socket && socket.readyState === WebSocket.OPEN) say();
    }

    const say = window.libgo.teller((text) => {
      state.textContent = text || (follows() ? gettext("Following") : gettext("Paused: scroll down or switch Follow on to go on"));
    });

    function clear() {
      box.replaceChildren();
      waiting = []; colours = {}; unseen = 0; found = []; current = -1;
      by("older").hidden = true;
      showUnseen(); showHits();
    }

    // -- find --------------------------------------------------------------------------------
    function ranges(line, word) {
      const text = line.textContent.toLowerCase(), nodes = [], made = [];
      const walk = document.createTreeWalker(line, NodeFilter.SHOW_TEXT);
      for (let at = 0; walk.nextNode(); at += walk.currentNode.length) nodes.push([at, walk.currentNode]);
      function place(offset) {
        const [at, node] = nodes.findLast(([begin]) => begin <= offset);
        return [node, offset - at];
      }
      for (let at = text.indexOf(word); at >= 0 && made.length < 50; at = text.indexOf(word, at + word.length)) {
        const range = new Range();
        range.setStart(...place(at));
        range.setEnd(...place(at + word.length));
        made.push(range);
      }
      return made;
    }

    function find(jump) {
      const word = search.value.toLowerCase();
      const before = found[current];
      found = word ? [...box.children].filter((line) => line.lastElementChild && line.textContent.toLowerCase().includes(word)) : [];
      current = found.indexOf(before);
      if (jump && found.length) { current = found.length - 1; show(); }
      showHits();
      if (window.CSS && CSS.highlights) {
        CSS.highlights.set("log-hit", new Highlight(...found.slice(-500).flatMap((line) => ranges(line, word))));
      }
    }

    function show() {
      box.querySelectorAll(".hit-now").forEach((line) => line.classList.remove("hit-now"));
      if (!found[current]) return;
      pause(true);
      heldUntil = performance.now() + 400;
      found[current].classList.add("hit-now");
      found[current].scrollIntoView({ block: "center" });
    }

    function showHits() {
      hits.hidden = !search.value;
      hits.textContent = found.length ? `${current >= 0 ? count.format(current + 1) : "–"} / ${count.format(found.length)}` : gettext("none");
    }

    function step(by_) {
      if (!found.length) return;
      current = (current + by_ + found.length) % found.length;
      show(); showHits();
    }

    // -- the socket ----------------------------------------------------------------------------
    function key(line) { return `${line.timestamp} ${line.stream} ${line.text}`; }

    function fresh(lines) {
      if (!repeated) return lines;
      return lines.filter((line) => {
        const left = repeated.get(key(line)) || 0;
        if (left) repeated.set(key(line), left - 1);
        return !left;
      });
    }

    function address() {
      const asked = new URLSearchParams({ timestamps: "true" });
      const last = recent.length ? recent[recent.length - 1].timestamp : null;
      const wanted = by("stream").value, since = by("since").value;
      if (wanted === "stdout") asked.set("stderr", "false");
      if (wanted === "stderr") asked.set("stdout", "false");
      repeated = null;
      if (last) {
        repeated = new Map();
        recent.forEach((line) => repeated.set(key(line), (repeated.get(key(line)) || 0) + 1));
        asked.set("since", last); asked.set("tail", String(KEPT));
      } else if (since === "from" && by("from").value) {
        asked.set("since", new Date(by("from").value).toISOString()); asked.set("tail", String(KEPT));
      } else if (Number(since) > 0) {
        asked.set("since", new Date(Date.now() - Number(since) * 1000).toISOString()); asked.set("tail", String(KEPT));
      } else {
        asked.set("tail", "500");
      }
      return `${box.dataset.path}?${asked}`;
    }

    function connect() {
      const own = window.libgo.socket(address());
      // Lines wait for a mark before them that is still translated.
      let turn = Promise.resolve();
      const addNext = (made) => { turn = turn.then(made).then((items) => { if (own === socket) add(items); }); };
      socket = own;
      own.onopen = () => { tries = 0; say(); };
      own.onmessage = (message) => {
        if (own !== socket) return;
        const fact = JSON.parse(message.data);
        if (fact.type === "logs") {
          const lines = fresh(fact.data.lines);
          recent = recent.concat(lines).slice(-COMPARED);
          addNext(() => lines);
        }
        if (fact.type === "mark") {
          addNext(async () => [{ mark: fact.data.kind, text: await window.libgo.told(fact.data.text) }]);
          if (fact.data.kind === "gone") isOver = true;
        }
        if (fact.type === "error") say.told(fact.data.message);
      };
      own.onclose = (event) => {
        if (own !== socket) return;
        if (isOver || FINAL.includes(event.code)) { say.told(event.reason || gettext("The log has ended.")); return; }
        const wait = RETRY_MS[Math.min(tries, RETRY_MS.length - 1)];
        tries += 1;
        say(interpolate(gettext("The connection was lost; trying again in %(seconds)s s …"), { seconds: wait / 1000 }, true));
        setTimeout(() => { if (own === socket) again(); }, window.libgo.around(wait));
      };
    }

    // A log without times is read anew; any other goes on where it was.
    function again() {
      if (recent.length && !recent[recent.length - 1].timestamp) { clear(); recent = []; }
      connect();
    }

    function restart() {
      const old = socket;
      socket = null;
      if (old) old.close();
      clear(); recent = []; isOver = false;
      say(gettext("Connecting"));
      connect();
    }

    // -- controls ----------------------------------------------------------------------------
    box.addEventListener("scroll", () => {
      const isDown = box.scrollHeight - box.scrollTop - box.clientHeight < 24;
      if (isDown !== follows() && !drawing && performance.now() > heldUntil) pause(!isDown);
    }, { passive: true });
    by("follow").addEventListener("change", () => pause(!follows()));
    more.addEventListener("click", () => pause(false));
    by("wrap").addEventListener("change", (event) => { box.classList.toggle("wrap", event.target.checked); if (follows()) box.scrollTop = box.scrollHeight; });
    by("times").addEventListener("change", (event) => { box.classList.toggle("times", event.target.checked); if (follows()) box.scrollTop = box.scrollHeight; });
    by("clear").addEventListener("click", clear);
    by("stream").addEventListener("change", restart);
    by("from").addEventListener("change", restart);
    by("since").addEventListener("change", (event) => {
      by("from").hidden = event.target.value !== "from";
      if (event.target.value !== "from" || by("from").value) restart();
    });
    search.addEventListener("input", () => find(true));
    search.addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); step(event.shiftKey ? 1 : -1); } });
    by("next").addEventListener("click", () => step(1));
    by("previous").addEventListener("click", () => step(-1));
    connect();
  }

  document.addEventListener("DOMContentLoaded", () => {
    const box = document.getElementById("log");
    if (box && box.dataset.path) start(box);
  });
})();
