// The past of usage as charts: ranges from an hour to a year, and the newest end keeps coming.
(() => {
  "use strict";
  const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];
  const LANGUAGE = document.documentElement.lang, ONE_DIGIT = { minimumFractionDigits: 1, maximumFractionDigits: 1 };
  const HEIGHT = 200;
  const QUICK_MS = 10000, SLOW_MS = 60000;
  const HOURS_QUICK = 6;
  const BLUE = "#4299e1", GREEN = "#2fb344", ORANGE = "#f59f00", PURPLE = "#ae3ec9";
  const size = (value) => {
    if (value === null || value === undefined) return "–";
    let unit = 0;
    while (value >= 1024 && unit < UNITS.length - 1) { value /= 1024; unit += 1; }
    return `${value >= 100 || Number.isInteger(value) ? Math.round(value) : value.toLocaleString(LANGUAGE, ONE_DIGIT)} ${UNITS[unit]}`;
  };
  const speed = (value) => (value === null || value === undefined ? "–" : `${size(value)}/s`);
  const percent = (value) => (value === null || value === undefined ? "–" : `${value >= 100 ? Math.round(value) : (Math.round(value * 10) / 10).toLocaleString(LANGUAGE)} %`);
  // A line with its span from least to most behind it, or two lines with their peaks.
  const KINDS = {
    cpu: { show: percent, least: 5, band: ["cpu_percent", "CPU", BLUE, "rgba(66,153,225,.2)"] },
    memory: { show: size, least: 16 * 1024 * 1024, binary: true, band: ["memory_bytes", gettext("Memory"), GREEN, "rgba(47,179,68,.2)"] },
    network: { show: speed, least: 1024, binary: true, pair: [["network_rx_bytes_per_s", gettext("in"), BLUE], ["network_tx_bytes_per_s", gettext("out"), ORANGE]] },
    disk: { show: speed, least: 1024, binary: true, pair: [["disk_read_bytes_per_s", gettext("read"), PURPLE], ["disk_write_bytes_per_s", gettext("written"), ORANGE]] },
    storage: { show: size, least: 1024, binary: true, pair: [["storage_used_bytes", gettext("used"), PURPLE]] },
  };

  function columnsOf(kind) {
    if (kind.band) return [[kind.band[0], "max"], [kind.band[0], "min"], [kind.band[0], "avg"]];
    return kind.pair.flatMap(([metric]) => metric === "storage_used_bytes" ? [[metric, "avg"]] : [[metric, "avg"], [metric, "max"]]);
  }

  function seriesOf(kind) {
    const value = (_, raw) => kind.show(raw);
    if (kind.band) {
      const [, label, stroke] = kind.band;
      return [{ label: gettext("most"), stroke: "transparent", points: { show: false }, value }, { label: gettext("least"), stroke: "transparent", points: { show: false }, value }, { label, stroke, width: 2, value }];
    }
    return kind.pair.flatMap(([metric, label, stroke]) => {
      const line = { label, stroke, width: 2, value };
      if (metric === "storage_used_bytes") return [line];
      return [line, { label: interpolate(gettext("%(what)s, peak"), { what: label }, true), stroke: `${stroke}66`, width: 1, dash: [3, 3], points: { show: false }, value }];
    });
  }

  function timeText(seconds, spanS) {
    const at = new Date(seconds * 1000);
    if (spanS <= 2 * 86400) return at.toLocaleTimeString(LANGUAGE, { hour: "2-digit", minute: "2-digit", hour12: false });
    if (spanS <= 90 * 86400) return at.toLocaleDateString(LANGUAGE, { day: "numeric", month: "short" });
    return at.toLocaleDateString(LANGUAGE, { month: "short", year: "numeric" });
  }

  const colour = () => getComputedStyle(document.body).color;
  const grid = { stroke: "rgba(128,128,128,.18)", width: 1 };
  const binarySplits = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];
  const BINARY_STEPS = UNITS.flatMap((_, power) => binarySplits.map((step) => step * 1024 ** power));

  function plotMake(place, kind) {
    return new uPlot({
      width: place.clientWidth || 300, height: HEIGHT, legend: { live: true },
      cursor: { sync: { key: "usage" }, drag: { x: false, y: false } },
      scales: { x: { time: true }, y: { range: (_, low, high) => [0, Math.max(kind.least, (high || 0) * 1.1)] } },
      axes: [
        { stroke: colour, grid, ticks: grid, space: 70, values: (plot, splits) => splits.map((at) => timeText(at, plot.scales.x.max - plot.scales.x.min)) },
        { stroke: colour, grid, ticks: grid, size: 84, space: 36, ...(kind.binary ? { incrs: BINARY_STEPS } : {}), values: (_, splits) => splits.map(kind.show) },
      ],
      series: [{ label: gettext("Time"), value: (_, at) => (at === null || at === undefined ? "–" : window.libgo.exactText(new Date(at * 1000))) }, ...seriesOf(kind)],
      bands: kind.band ? [{ series: [1, 2], fill: kind.band[3] }] : [],
    }, [[], ...columnsOf(kind).map(() => [])], place);
  }

  class Usage {
    constructor(root) {
      this.root = root;
      this.note = root.querySelector("[data-usage-note]");
      this.charts = [...root.querySelectorAll("[data-chart]")].map((place) => ({ place, kind: KINDS[place.dataset.chart], plot: plotMake(place, KINDS[place.dataset.chart]) }));
      this.buttons = [...root.querySelectorAll("[data-range]")];
      this.buttons.forEach((button) => button.addEventListener("click", () => this.choose(button)));
      const fit = new ResizeObserver(() => this.charts.forEach(({ place, plot }) => plot.setSize({ width: place.clientWidth, height: HEIGHT })));
      this.charts.forEach(({ place }) => fit.observe(place));
      new MutationObserver(() => this.charts.forEach(({ plot }) => plot.redraw(false, true))).observe(document.documentElement, { attributes: true, attributeFilter: ["data-bs-theme"] });
      document.addEventListener("visibilitychange", () => { if (!document.hidden) this.load(); });
      this.asked = 0;
      this.choose(this.buttons[0]);
    }

    choose(button) {
      this.buttons.forEach((each) => { each.classList.toggle("active", each === button); each.setAttribute("aria-pressed", each === button); });
      this.range = button.dataset.range;
      this.load();
    }

    async load() {
      clearTimeout(this.timer);
      const asked = ++this.asked;
      if (!document.hidden) {
        try {
          const answer = await fetch(`${this.root.dataset.usage}?start=-${this.range}`);
          if (asked !== this.asked) return;
          if (answer.ok) this.show(await answer.json());
          else this.say(answer.status === 404 ? gettext("It is gone.") : gettext("The past cannot be read just now."));
        } catch { this.say(gettext("The past cannot be read just now.")); }
      }
      const quick = this.range.endsWith("h") && parseInt(this.range, 10) <= HOURS_QUICK;
      if (asked === this.asked && this.root.isConnected) this.timer = setTimeout(() => this.load(), quick ? QUICK_MS : SLOW_MS);
    }

    show(found) {
      const times = found.timestamps.map((text) => Date.parse(text) / 1000);
      let known = 0;
      for (const { place, kind, plot } of this.charts) {
        const columns = columnsOf(kind).map(([metric, stat]) => found.series[metric]?.[stat] ?? times.map(() => null));
        const has = columns.some((column) => column.some((value) => value !== null));
        known += has ? 1 : 0;
        place.closest("[data-chart-card]").hidden = place.dataset.chart === "storage" && !has;
        plot.setData([times, ...columns], false);
        plot.batch(() => {
          plot.setScale("x", { min: Date.parse(found.start) / 1000, max: Date.parse(found.end) / 1000 });
          plot.setScale("y", { min: null, max: null });
        });
      }
      const step = found.interval_s;
      const text = step < 60 ? `${step} s` : step < 3600 ? `${step / 60} min` : step < 86400 ? `${step / 3600} h` : `${step / 86400} d`;
      this.say(known ? interpolate(gettext("One point for %(time)s"), { time: text }, true) : gettext("Nothing was measured in this time."));
      this.root.dataset.points = times.length;
    }

    say(text) { if (this.note) this.note.textContent = text; }
  }

  document.addEventListener("DOMContentLoaded", () => document.querySelectorAll("[data-usage]").forEach((root) => new Usage(root)));
})();
