/** Backends: how many users each has, how much it is asked for, and what can be done with it. Imported by app.js. */
import { useState } from 'preact/hooks';
import { stateText } from './event-text.js';
import { firstButton, pausable, useFocusKept } from './focus.js';
import { compact, counted, number, percent, timeOfDay } from './format.js';
import { html } from './html.js';
import { awayPart, previewShed } from './moves.js';
import { Shed } from './shed.js';

/** Rows at a time; of more, those that are looked for. */
const ROWS_MAX = 50;
/** From so many on there is a field to look for one. */
const FILTER_FROM = 9;
/** They are read every two seconds. */
const OLD_MS = 10_000;

export function Backends({ store, actions, isAway }) {
  const [wanted, setWanted] = useState('');
  const section = useFocusKept((element) => element);
  const list = store.backends;
  if (list === null) {
    return html`<section class="card backends" id="backends" aria-labelledby="backends-title"><h2 id="backends-title">Backends</h2><p class="empty">${store.backendsProblem === null ? 'Reading them…' : `They can’t be read: ${store.backendsProblem}`}</p></section>`;
  }
  const isOld = store.backendsProblem !== null || Date.now() - store.backendsAtMs > OLD_MS;
  const { backends, faults } = list;
  const matching = backends.filter(({ name }) => name.includes(wanted.trim()));
  const rows = matching.slice(0, ROWS_MAX);
  const preview = store.preview === null ? null : previewShed(backends, store.preview.name, store.preview.shed);
  const coming = (name) => Math.max(0, preview?.gains[name] ?? 0);
  const most = Math.max(1, ...backends.map(({ name, sessions }) => (sessions ?? 0) + coming(name)));
  const sessions = backends.reduce((sum, backend) => sum + (backend.sessions ?? 0), 0);
  return html`
    <section class="card backends ${isOld ? 'is-old' : ''}" id="backends" ref=${section} tabindex="-1" aria-labelledby="backends-title">
      <h2 id="backends-title">Backends</h2>
      <p class="aside">${counted(backends.length, 'backend')}, ${counted(sessions, 'stored session')}</p>
      ${isOld && html`<p class="empty old">As of ${timeOfDay(store.backendsAtMs)}: ${store.backendsProblem === null ? 'they are read again' : `they can’t be read: ${store.backendsProblem}`}</p>`}
      ${backends.length >= FILTER_FROM && html`<input class="find" type="search" placeholder="Find a backend" aria-label="Find a backend" value=${wanted} onInput=${(event) => setWanted(event.currentTarget.value)} />`}
      <ul class="rows">
        ${rows.map((backend) => html`<${Row} key=${backend.name} backend=${backend} all=${backends} most=${most} coming=${coming(backend.name)} store=${store} actions=${actions} isAway=${isAway} />`)}
      </ul>
      ${matching.length > rows.length && html`<p class="empty">${counted(matching.length - rows.length, 'more backend')}: find them by name.</p>`}
      ${matching.length === 0 && html`<p class="empty">${backends.length === 0 ? 'There are none: add one with “gateway backend set”.' : 'None has this in its name.'}</p>`}
      ${
        faults.length > 0 &&
        html`<p class="empty">Wrong in Redis, and left out: ${faults
          .slice(0, 5)
          .map(({ name }) => name)
          .join(', ')}</p>`
      }
    </section>
  `;
}

function Row({ backend, all, most, coming, store, actions, isAway }) {
  const { name, address, sessions, lookupsPerSecond, share } = backend;
  const isShedding = store.preview?.name === name;
  const { settle } = store.stats;
  const isSettling = settle?.state === 'running' && settle.backend === name;
  const away = awayPart(backend, all);
  const row = useFocusKept(firstButton);
  const does = (action, isPaused = false) => ({
    disabled: isAway,
    ...pausable(isPaused || store.busy.has(name), action),
  });
  return html`
    <li ref=${row} class="backend is-${backend.state}" data-backend=${name}>
      <div class="name">
        <h3>${name}</h3>
        <span class="tag is-${backend.state}${backend.shed > 0 && backend.state === 'active' ? ' is-shedding' : ''}" data-testid="backend-state">${stateText(backend)}</span>
        <span class="muted mono">${address}</span>
      </div>
      <div class="load">
        <${Bar} sessions=${sessions} most=${most} away=${away} coming=${coming} />
        <p class="figures">
          <span><b data-testid="sessions">${number(sessions)}</b> stored${away > 0 && sessions > 0 ? html`, <b>${away === 1 ? 'all' : `about ${compact(Math.round(sessions * away))}`}</b> answered elsewhere` : ''}${coming > 0 ? html` <span class="coming">+ about ${compact(coming)}</span>` : ''}</span>
          <span title="Lookups that this gateway answered with it"><b data-testid="rate">${compact(lookupsPerSecond)}</b>/s</span>
          <span title="Of users who are placed anew, the part that comes here">${percent(share)} of new users</span>
        </p>
      </div>
      <div class="does">
        ${
          backend.state === 'active'
            ? html`
                <button type="button" ...${does(() => actions.drain(name))} aria-label=${`Drain ${name}`}>Drain</button>
                <button type="button" aria-expanded=${isShedding} ...${does(() => store.set({ preview: isShedding ? null : { name, shed: backend.shed } }))} aria-label=${`Shed users of ${name}`}>Shed…</button>
              `
            : html`<button type="button" ...${does(() => actions.undrain(name))} aria-label=${`Undrain ${name}`}>Undrain</button>`
        }
        ${(backend.state !== 'active' || backend.shed > 0) && !isSettling && html`<button type="button" ...${does(() => actions.settle(name), settle?.state === 'running')} aria-label=${`Settle ${name}`}>Settle…</button>`}
        ${backend.state === 'active' && html`<button type="button" class="quiet" ...${does(() => actions.down(name))} aria-label=${`Say that ${name} is down`}>Down…</button>`}
        ${backend.state !== 'active' && !isSettling && html`<button type="button" class="quiet" ...${does(() => actions.remove(name))} aria-label=${`Remove ${name}`}>Remove…</button>`}
      </div>
      ${isShedding && html`<${Shed} backend=${backend} backends=${all} store=${store} actions=${actions} isAway=${isAway} />`}
      ${settle?.backend === name && (isSettling || store.settled === name) && html`<${Settling} settle=${settle} onStop=${() => actions.stopSettle(name)} disabled=${isAway} />`}
    </li>
  `;
}

/** Stored users: those that are answered here, those that are answered elsewhere, and those that a change would bring. */
function Bar({ sessions, most, away, coming }) {
  const width = (users) => ({ width: `${(100 * users) / most}%` });
  const stored = sessions ?? 0;
  return html`
    <div class="bar" aria-hidden="true">
      <i class="here" style=${width(stored * (1 - away))}></i><i class="away" style=${width(stored * away)}></i>
      ${coming > 0 && html`<i class="will" style=${width(coming)}></i>`}
    </div>
  `;
}

function Settling({ settle, onStop, disabled }) {
  const { state, part, pass, moved, complete, problem } = settle;
  if (state === 'running') {
    return html`
      <div class="settling">
        <label><span>Settling: ${counted(moved, 'user')} moved${pass > 1 ? `, going through the sessions for the ${pass === 2 ? 'second' : 'third'} time` : ''}</span><progress max="1" value=${part}></progress></label>
        <button type="button" onClick=${onStop} disabled=${disabled}>Stop</button>
      </div>
    `;
  }
  const words = {
    done: `Settled: ${counted(moved, 'user')} moved.${complete ? '' : ' Writers go on storing sessions here: settle it again.'}`,
    stopped: `Settling was stopped: ${counted(moved, 'user')} moved.`,
    failed: `Settling failed: ${problem}`,
  };
  return html`<p class="settling ${state}">${words[state]}</p>`;
}
