/** Packets a second over the last minutes, by what became of them, stacked (uPlot). Imported by app.js. */
import { useEffect, useRef, useState } from 'preact/hooks';
import UPlot from 'uplot';
import { compact, timeOfDay, UNKNOWN } from './format.js';
import { html } from './html.js';
import { GROUPS, total } from './verdicts.js';

const HEIGHT = 220;
const SPAN_S = 300;

export function RateChart({ history }) {
  const place = useRef(null);
  const chart = useRef(null);
  const [at, setAt] = useState(null);
  const scheme = useScheme();

  useEffect(() => {
    const element = place.current;
    const made = new UPlot(options(element, setAt), dataOf(history.points), element);
    chart.current = made;
    const observer = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: HEIGHT }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
    };
  }, [scheme]);
  useEffect(() => {
    const nowS = (history.points.at(-1)?.timeMs ?? Date.now()) / 1_000;
    chart.current?.setData(dataOf(history.points), false);
    chart.current?.setScale('x', { min: nowS - SPAN_S, max: nowS });
  }, [history.points.at(-1)?.timeMs, scheme]);

  const point = at === null ? history.points.findLast(({ rates }) => rates !== null) : history.points[at];
  const rates = point?.rates ?? null;
  const shown = GROUPS.filter(({ id }) => history.points.some((each) => each.rates?.[id] > 0));
  return html`
    <section class="card rates" aria-labelledby="rates">
      <h2 id="rates">Packets a second</h2>
      <p class="aside">${at === null ? 'the last five minutes' : timeOfDay(point.timeMs)}</p>
      <div ref=${place} class="plot" role="img" aria-label=${summary(history)}></div>
      <ul class="legend">
        ${shown.map(({ id, label }) => html`<li class="g-${id}"><i aria-hidden="true"></i>${label} <b>${rates === null ? UNKNOWN : compact(rates[id])}</b></li>`)}
        ${shown.length === 0 && html`<li>No packets in the last five minutes</li>`}
      </ul>
    </section>
  `;
}

function summary({ points }) {
  const totals = points.filter(({ rates }) => rates !== null).map(({ rates }) => total(rates));
  if (totals.length === 0) return 'Packets a second: none known yet';
  return `Packets a second: ${compact(totals.at(-1))} now, ${compact(Math.min(...totals))} to ${compact(Math.max(...totals))} in the last five minutes`;
}

/** Redrawn where the system goes from light to dark: a canvas has no style sheet. */
function useScheme() {
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const [scheme, setScheme] = useState(dark.matches);
  useEffect(() => {
    const follow = () => setScheme(dark.matches);
    dark.addEventListener('change', follow);
    return () => dark.removeEventListener('change', follow);
  }, []);
  return scheme;
}

/** Sums from the bottom up, the largest first, so that each is drawn over those above it. */
function dataOf(points) {
  const times = points.map(({ timeMs }) => timeMs / 1_000);
  const sums = GROUPS.map((_, i) =>
    points.map(({ rates }) =>
      rates === null ? null : GROUPS.slice(0, i + 1).reduce((sum, { id }) => sum + rates[id], 0),
    ),
  );
  return [times, ...sums.reverse()];
}

/** @returns {import('uplot').Options} */
function options(element, setAt) {
  const style = getComputedStyle(element);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  const font = `11px ${style.fontFamily}`;
  const axis = { stroke: colour('muted'), font, grid: { stroke: colour('line'), width: 1 }, ticks: { show: false } };
  return {
    width: element.clientWidth,
    height: HEIGHT,
    padding: [8, 10, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
    scales: { x: { time: true, auto: false }, y: { range: (_, __, max) => [0, Math.max(1, max * 1.12)] } },
    axes: [
      {
        ...axis,
        grid: { show: false },
        size: 26,
        space: 80,
        values: (_, ticks) => ticks.map((tick) => timeOfDay(tick * 1_000).slice(0, 5)),
      },
      { ...axis, size: 44, gap: 6, space: 44, values: (_, ticks) => ticks.map((tick) => compact(tick)) },
    ],
    series: [
      {},
      ...GROUPS.toReversed().map(({ id }) => ({
        fill: colour(`g-${id}`),
        stroke: colour('card'),
        width: 1,
        points: { show: false },
      })),
    ],
    hooks: { setCursor: [({ cursor }) => setAt(cursor.idx ?? null)] },
  };
}
