// CPU and memory of one instance, as the sampler sees them.
(() => {
  "use strict";
  const MIB = 1024 * 1024;
  const KEPT = 180;
  document.addEventListener("DOMContentLoaded", () => {
    const place = document.getElementById("chart");
    if (!place) return;
    const times = [], cpu = [], memory = [];
    const colour = () => getComputedStyle(document.body).color;
    const grid = { stroke: "rgba(128,128,128,.18)", width: 1 };
    const options = {
      width: place.clientWidth, height: 160, legend: { show: true },
      scales: { percent: { range: (_, low, high) => [0, Math.max(5, high * 1.1)] }, mib: { range: (_, low, high) => [0, Math.max(16, high * 1.2)] } },
      axes: [{ stroke: colour, grid, ticks: grid, values: (_, all) => all.map((at) => window.libgo.exactText(new Date(at * 1000)).slice(11)), space: 90 }, { scale: "percent", stroke: colour, grid, ticks: grid, size: 60, values: (_, all) => all.map((v) => `${v} %`) },
        { scale: "mib", side: 1, stroke: colour, size: 80, grid: { show: false }, ticks: grid, values: (_, all) => all.map((v) => `${v} MiB`) }],
      series: [{ label: gettext("Time"), value: (_, at) => (at ? window.libgo.exactText(new Date(at * 1000)).slice(11) : "–") }, { label: "CPU %", scale: "percent", stroke: "#4299e1", width: 2, fill: "rgba(66,153,225,.12)" },
        { label: gettext("Memory MiB"), scale: "mib", stroke: "#2fb344", width: 2 }],
    };
    const plot = new uPlot(options, [times, cpu, memory], place);
    new MutationObserver(() => plot.redraw(false, true)).observe(document.documentElement, { attributes: true, attributeFilter: ["data-bs-theme"] });
    new ResizeObserver(() => plot.setSize({ width: place.clientWidth, height: 160 })).observe(place);
    function add(sample) {
      times.push(Date.parse(sample.timestamp) / 1000);
      cpu.push(sample.cpu_percent);
      memory.push(sample.memory_bytes === null ? null : Math.round(sample.memory_bytes / MIB * 10) / 10);
      [times, cpu, memory].forEach((list) => { if (list.length > KEPT) list.shift(); });
      plot.setData([times, cpu, memory]);
      const share = sample.cpu_percent === null ? "–" : `${sample.cpu_percent.toLocaleString(document.documentElement.lang, { minimumFractionDigits: 1, maximumFractionDigits: 1 })} %`;
      document.getElementById("now").textContent = `${share} · ${memory[memory.length - 1]?.toLocaleString(document.documentElement.lang) ?? "–"} MiB`;
    }
    // No line is drawn over what nobody measured.
    function gap(text) {
      times.push(Date.now() / 1000); cpu.push(null); memory.push(null);
      plot.setData([times, cpu, memory]);
      document.getElementById("now").textContent = text;
    }
    function connect() {
      const socket = window.libgo.socket(place.dataset.path);
      socket.onmessage = (message) => { const fact = JSON.parse(message.data); if (fact.type === "stats") add(fact.data); if (fact.type === "mark") window.libgo.told(fact.data.text).then(gap); };
      socket.onclose = (event) => { if (event.code < 4400) setTimeout(connect, window.libgo.around(3000)); };
    }
    connect();
  });
})();
