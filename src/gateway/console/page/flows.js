/** Where the packets of the last seconds went: from all to each verdict, as bands whose width is their number. Imported by app.js. */
import { compact, percent } from './format.js';
import { html } from './html.js';
import { explained, GROUPS, total } from './verdicts.js';

/** Units of the drawing. */
const WIDTH = 100;
const ROW = 38;
const BAND_MAX = 34;
/** A band that is there is seen. */
const BAND_MIN = 1.5;

export function Flows({ rates }) {
  const all = rates === null ? 0 : total(rates);
  const parts =
    all === 0 ? [] : GROUPS.filter(({ id }) => rates[id] > 0).map((group) => ({ ...group, rate: rates[group.id] }));
  return html`
    <section class="card flows" aria-labelledby="flows">
      <h2 id="flows">What becomes of them</h2>
      <p class="aside">the last ten seconds</p>
      ${parts.length === 0 ? html`<p class="empty">${rates === null ? 'Counting…' : 'No packets in the last ten seconds.'}</p>` : html`<${Bands} parts=${parts} all=${all} />`}
    </section>
  `;
}

function Bands({ parts, all }) {
  const height = parts.length * ROW;
  const widths = parts.map(({ rate }) => Math.max(BAND_MIN, (BAND_MAX * rate) / all));
  const sum = widths.reduce((a, b) => a + b, 0);
  let from = (height - sum) / 2;
  const bands = parts.map(({ id }, i) => {
    const [band, to] = [widths[i], i * ROW + ROW / 2];
    const path = bandPath(from + band / 2, to, band);
    from += band;
    return html`<path class="g-${id}" d=${path} />`;
  });
  return html`
    <div class="bands">
      <div class="source"><b>${compact(all)}</b><span>a second</span></div>
      <svg viewBox="0 0 ${WIDTH} ${height}" preserveAspectRatio="none" style=${{ height: `${height}px` }} aria-hidden="true">${bands}</svg>
      <ul>
        ${parts.map(
          ({ id, label, rate }) => html`<li class="g-${id}" style=${{ height: `${ROW}px` }} title=${explained(id)}>
            <span>${label}</span><b>${percent(rate / all)}</b><em>${compact(rate)}/s</em>
          </li>`,
        )}
      </ul>
    </div>
  `;
}

/** An S from the left edge at height `y0` to the right edge at `y1`, as wide as `band` throughout. */
function bandPath(y0, y1, band) {
  const [h, middle] = [band / 2, WIDTH / 2];
  return [
    `M0 ${y0 - h}C${middle} ${y0 - h} ${middle} ${y1 - h} ${WIDTH} ${y1 - h}`,
    `V${y1 + h}C${middle} ${y1 + h} ${middle} ${y0 + h} 0 ${y0 + h}Z`,
  ].join('');
}
