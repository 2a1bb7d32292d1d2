/** Keys: which are in force, since when and until when. Imported by app.js. */
import { pausable } from './focus.js';
import { compact, date, duration, number } from './format.js';
import { html } from './html.js';

const SOON_MS = 14 * 86_400_000;

export function Keys({ keys, rates, actions, isAway, isBusy }) {
  const nowMs = Date.now();
  return html`
    <section class="card keys" aria-labelledby="keys">
      <h2 id="keys">Keys</h2>
      <p class="aside"><button type="button" class="small" disabled=${isAway} ...${pausable(isBusy, () => actions.reloadKeys())}>Read the key file again…</button></p>
      <ul class="rows">
        ${keys.map((key) => html`<${Key} key=${key.id} of=${key} rate=${rates.get(key.id)} nowMs=${nowMs} />`)}
        ${keys.length === 0 && html`<li class="empty">There are none: nobody can ask.</li>`}
      </ul>
    </section>
  `;
}

function Key({ of: { id, name, suite, encrypt, valid, notBeforeMs, notAfterMs, uses }, rate, nowMs }) {
  const isSoon = notAfterMs !== null && notAfterMs - nowMs < SOON_MS;
  const tone = !valid || isSoon ? 'warn' : 'good';
  return html`
    <li class="key">
      <div>
        <h3>${name} <span class="muted">#${id}</span></h3>
        <p class="muted">${suite}${encrypt ? ', replies encrypted' : ''}</p>
        ${uses !== undefined && html`<p class="muted">${uses === 0 ? 'never used' : html`<b>${number(uses)}</b> requests${rate === undefined ? '' : `, ${compact(rate)} a second`}`}</p>`}
      </div>
      <div class="n">
        <p class="pill ${tone}"><span class="dot" aria-hidden="true"></span>${stateText(valid, notBeforeMs, notAfterMs, nowMs)}</p>
        <p class="muted">${ageText(notBeforeMs, notAfterMs, nowMs)}</p>
      </div>
    </li>
  `;
}

function stateText(valid, notBeforeMs, notAfterMs, nowMs) {
  if (notBeforeMs !== null && notBeforeMs > nowMs) return `begins in ${duration(notBeforeMs - nowMs)}`;
  if (!valid) return 'ended';
  return notAfterMs === null ? 'no end' : `ends in ${duration(notAfterMs - nowMs)}`;
}

function ageText(notBeforeMs, notAfterMs, nowMs) {
  if (notBeforeMs !== null && notBeforeMs <= nowMs) return `in use for ${duration(nowMs - notBeforeMs)}`;
  if (notBeforeMs !== null) return `from ${date(notBeforeMs)}`;
  return notAfterMs === null ? 'no dates in the key file' : `until ${date(notAfterMs)}`;
}
