// Charts of the last ten minutes.
import { useEffect, useRef } from "preact/hooks";
import { signal } from "@preact/signals";
import uPlot from "uplot";
import { html } from "./parts.js";
import { locale, t } from "./words.js";

// Changes with the colours of the system.
const isDark = signal(matchMedia("(prefers-color-scheme: dark)").matches);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (event) => { isDark.value = event.matches; });

const clock = (seconds, isFine) =>
  new Date(seconds * 1000).toLocaleTimeString(locale, { hour: "2-digit", minute: "2-digit", second: isFine ? "2-digit" : undefined, hour12: false });

// `lines`: {label, values, colour, value}; `at`: when each value was, in seconds.
const POWERS = Array.from({ length: 40 }, (_, power) => 2 ** power);

export function Chart({ title, at, lines, unit = String, height = 150, isBinary = false }) {
  const box = useRef(), plot = useRef();
  const data = [at, ...lines.map((line) => line.values)];
  useEffect(() => {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    const font = `11px ${style.getPropertyValue("--font").trim()}`;
    const axis = { stroke: colour("faint"), font, grid: { stroke: colour("line"), width: 1 }, ticks: { show: false } };
    const made = new uPlot({
      width: box.current.clientWidth, height, legend: { show: false },
      cursor: { y: false, points: { size: 6 } },
      padding: [8, 8, 0, 0],
      scales: { x: { time: true, range: (_, from, to) => [Math.min(from ?? 0, (to ?? 0) - 60), to ?? 1] }, y: { range: (_, __, top) => [0, top > 0 ? top * 1.15 : 1] } },
      axes: [
        { ...axis, size: 24, space: 70, values: (_, ticks) => ticks.map((tick) => clock(tick, ticks[1] - ticks[0] < 60)) },
        { ...axis, size: 60, space: 36, incrs: isBinary ? POWERS : undefined, values: (_, ticks) => ticks.map((tick) => unit(tick)) },
      ],
      series: [{}, ...lines.map((line) => ({ label: line.label, stroke: colour(line.colour), width: 1.75, points: { show: false }, fill: lines.length === 1 ? `${colour(line.colour)}22` : undefined }))],
    }, data, box.current);
    plot.current = made;
    const resized = new ResizeObserver(([entry]) => made.setSize({ width: Math.max(120, entry.contentRect.width), height }));
    resized.observe(box.current);
    return () => { resized.disconnect(); made.destroy(); };
  }, [isDark.value, lines.length]);
  useEffect(() => { plot.current?.setData(data); });
  const last = (values) => values.findLast((value) => value !== null && value !== undefined);
  return html`<figure class="chart">
    <figcaption><strong>${title}</strong>${lines.map((line) => html`<span class="key ${line.colour}">${line.label} <b>${unit(last(line.values) ?? null)}</b></span>`)}</figcaption>
    <div class="plot" ref=${box} role="img" aria-label=${t("Chart of the last ten minutes: {0}", title)}></div>
  </figure>`;
}
