/** The figures that one looks at first. Imported by app.js. */
import { compact, duration, nanoseconds, number, percent, UNKNOWN } from './format.js';
import { html } from './html.js';
import { hitRatio, total } from './verdicts.js';

/** Parts of the capacity and of hits from which a meter has another colour. */
const ROOM_WARN = 0.75;
const ROOM_BAD = 0.9;

export function Tiles({ store }) {
  const { status } = store.stats;
  const rates = store.history.average();
  return html`
    <section class="tiles" aria-label="Now">
      <${Tile} label="Lookups a second" value=${rates === null ? UNKNOWN : compact(total(rates) - rates.dropped)} note=${droppedNote(rates)} testid="rate" />
      <${HitTile} ratio=${rates === null ? null : hitRatio(rates)} />
      ${status.latency !== undefined && html`<${LatencyTile} recent=${store.latencies.recent()} oneIn=${status.latency.sampledOneIn} />`}
      <${AgeTile} status=${status} />
      <${SessionTile} status=${status} />
    </section>
  `;
}

function Tile({ label, value, unit, note, meter, drawing, tone = '', testid }) {
  return html`
    <div class="tile ${tone}">
      <h2>${label}</h2>
      ${drawing}
      <p class="value" data-testid=${testid}>${value}${unit && html`<span class="unit"> ${unit}</span>`}</p>
      ${meter !== undefined && html`<${Meter} part=${meter} tone=${tone} />`}
      <p class="note">${note}</p>
    </div>
  `;
}

/** Says nothing that isn't beside it in words. */
function Meter({ part, tone }) {
  return html`<div class="meter ${tone}" aria-hidden="true"><i style=${{ width: `${100 * Math.min(1, part)}%` }}></i></div>`;
}

function droppedNote(rates) {
  if (rates === null) return 'counting…';
  return rates.dropped > 0 ? `${compact(rates.dropped)} a second dropped` : 'nothing dropped';
}

function HitTile({ ratio }) {
  return html`<${Tile} label="Hit ratio" value=${percent(ratio)} meter=${ratio ?? 0} note=${ratio === null ? 'no lookups' : 'of lookups have a live session'} />`;
}

function LatencyTile({ recent: { buckets, median, high }, oneIn }) {
  const note =
    oneIn === 0 ? 'not timed' : median === null ? 'none timed in the last minute' : `99 % within ${nanoseconds(high)}`;
  const [amount, unit] = nanoseconds(median).split(' ');
  return html`<${Tile} label="Time in the kernel" value=${amount} unit=${unit} note=${note} drawing=${html`<${Histogram} buckets=${buckets} />`} testid="latency" />`;
}

/** How the times of the last minute are spread: a bar for each bucket that there is. */
function Histogram({ buckets }) {
  const most = Math.max(1, ...buckets.map(([, count]) => count));
  return html`
    <svg class="histogram" viewBox="0 0 ${Math.max(1, buckets.length)} 10" preserveAspectRatio="none" aria-hidden="true">
      ${buckets.map(([, count], i) => html`<rect x=${i + 0.1} width="0.8" y=${10 - Math.max(0.6, (10 * count) / most)} height=${Math.max(0.6, (10 * count) / most)} />`)}
    </svg>
  `;
}

function AgeTile({ status: { ageMs, staleAfterMs, sync } }) {
  const isBehind = ageMs === null || ageMs > staleAfterMs;
  const [amount, unit] = ageMs === null ? ['never', ''] : split(ageMs);
  const feed = sync.notifications === null ? feedNote(sync) : `${number(sync.notifications.pending)} keys waiting`;
  return html`<${Tile} label="Behind Redis" value=${amount} unit=${unit} note=${feed} tone=${isBehind ? 'bad' : ''} />`;
}

/** Below a second it is in step: once a second it is looked at. */
function split(ageMs) {
  if (ageMs < 1_500) return ['in step', ''];
  const [amount, ...unit] = duration(ageMs).split(' ');
  return [amount, unit.join(' ')];
}

function feedNote({ position, lagEntries }) {
  if (position === null) return 'no feed entry yet';
  return html`feed at <span class="mono" title="Id of the last feed entry that is in force">${position}</span>${lagEntries > 0 ? `, ${number(lagEntries)} behind` : ''}`;
}

function SessionTile({ status: { sessions, capacity } }) {
  const part = sessions / capacity;
  const tone = part >= ROOM_BAD ? 'bad' : part >= ROOM_WARN ? 'warn' : '';
  return html`<${Tile} label="Sessions" value=${compact(sessions)} meter=${part} tone=${tone} note=${`${percent(part)} of ${number(capacity)}`} testid="sessions" />`;
}
