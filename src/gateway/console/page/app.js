/** The whole page: who it is, what needs attention, the figures, and what can be done. Imported by main.js. */
import { useEffect, useReducer } from 'preact/hooks';
import { attention, meanwhile } from './attention.js';
import { Backends } from './backends.js';
import { EventList } from './event-list.js';
import { Fleet } from './fleet.js';
import { Flows } from './flows.js';
import { duration, seconds } from './format.js';
import { html } from './html.js';
import { Keys } from './keys.js';
import { Login } from './login.js';
import { Question } from './question.js';
import { RateChart } from './rate-chart.js';
import { Tiles } from './tiles.js';
import { Toasts } from './toasts.js';

export function App({ store, actions, onToken, onLogOut, onRetry }) {
  const [, redraw] = useReducer((count) => count + 1, 0);
  useEffect(() => store.subscribe(redraw), [store]);
  useEffect(() => {
    document.title = titleOf(store);
  });
  // Between two figures only the time since the last ones goes on.
  useEffect(() => {
    if (store.phase !== 'away') return undefined;
    const interval = setInterval(redraw, 1_000);
    return () => clearInterval(interval);
  }, [store.phase]);

  if (store.phase === 'login') return html`<${Login} refused=${store.refused} onToken=${onToken} />`;
  const { stats, phase } = store;
  return html`
    <a class="skip" href="#backends">Skip to backends</a>
    <${Header} store=${store} onLogOut=${onLogOut} />
    <main class=${phase === 'away' ? 'is-away' : ''}>
      <${Connection} store=${store} onRetry=${onRetry} />
      ${stats === null ? phase === 'connecting' && html`<p class="waiting">Waiting for the first figures…</p>` : html`<${Figures} store=${store} actions=${actions} />`}
    </main>
    <${Question} question=${store.question} onClose=${() => store.set({ question: null })} />
    <${Toasts} store=${store} />
  `;
}

function titleOf({ phase, stats }) {
  const name = nameOf(stats);
  if (phase === 'away') return `Away – ${name}`;
  return phase === 'login' ? 'Sign in – session-gateway' : name;
}

function nameOf(stats) {
  const self = stats?.fleet.members.find(({ id }) => id === stats.fleet.self);
  return self?.name ?? 'session-gateway';
}

function Header({ store, onLogOut }) {
  const { stats, phase } = store;
  const status = stats?.status;
  const [kind, word] = stateOf(store);
  return html`
    <header class="top">
      <svg class="mark" viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="9" /><path d="M7 11h8c5 0 5 10 10 10M7 21h8c5 0 5-10 10-10" /></svg>
      <div class="who">
        <h1>${nameOf(stats)}</h1>
        ${status && html`<p class="muted">session-gateway ${status.version}<span class="wide"> · up ${duration(Date.now() - Date.parse(status.startedAt))} · UDP ${status.port}</span></p>`}
      </div>
      <p class="pill ${kind}" data-testid="state"><span class="dot" aria-hidden="true"></span>${word}</p>
      <button type="button" class="quiet" onClick=${onLogOut} disabled=${phase === 'login'}>Sign out</button>
    </header>
  `;
}

function stateOf({ phase, stats }) {
  if (phase === 'away') return ['bad', 'Away'];
  if (stats === null) return ['idle', 'Connecting'];
  const { ready, sync } = stats.status;
  if (!ready) return ['warn', 'Loading'];
  if (sync.state === 'connecting') return ['bad', 'Redis away'];
  return sync.state === 'resyncing' ? ['warn', 'Reading again'] : ['good', 'Live'];
}

/** Told to who listens once, when it comes: what counts on is not part of what is announced. */
function Connection({ store, onRetry }) {
  const { phase, away, stats } = store;
  const nowMs = Date.now();
  return html`
    <div role="status" class="live">
      ${
        phase === 'away' &&
        html`<div class="notice bad">
          <div>
            <strong>The gateway is away.</strong> ${away.reason.charAt(0).toUpperCase()}${away.reason.slice(1)}.
            <span class="block">${meanwhile(stats?.status)}${stats === null ? '' : ' The figures are the last ones.'}</span>
          </div>
          <div class="since">
            <span aria-hidden="true">for ${seconds(nowMs - away.sinceMs)}</span>
            <button type="button" onClick=${onRetry}>Try now</button>
          </div>
        </div>`
      }
    </div>
  `;
}

function Figures({ store, actions }) {
  const { stats, phase } = store;
  const isAway = phase === 'away';
  return html`
    <${Attention} status=${stats.status} />
    <${Tiles} store=${store} />
    <div class="grid">
      <${RateChart} history=${store.history} />
      <${Flows} rates=${store.history.average(10)} />
      <${Backends} store=${store} actions=${actions} isAway=${isAway} />
      <${Fleet} fleet=${stats.fleet} />
      <${Keys} keys=${stats.status.keys} rates=${store.history.keyRates} actions=${actions} isAway=${isAway} isBusy=${store.busy.has('keys')} />
      <${EventList} events=${store.events} />
    </div>
  `;
}

function Attention({ status }) {
  const found = attention(status, Date.now());
  if (found.length === 0) return null;
  return html`
    <section class="attention" aria-labelledby="attention">
      <h2 id="attention" class="hidden">Needs attention</h2>
      <ul>
        ${found.map(({ level, text, remedy }) => html`<li class="notice ${level}"><strong>${text}</strong> <span>${remedy}</span></li>`)}
      </ul>
    </section>
  `;
}
