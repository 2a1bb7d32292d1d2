/** The slider by which a backend is made to shed: what would happen is shown before it is let go. Imported by backends.js. */
import { useEffect, useRef } from 'preact/hooks';
import { counted, hundredths, number } from './format.js';
import { html } from './html.js';
import { previewShed } from './moves.js';

const TARGETS_MAX = 4;

export function Shed({ backend, backends, store, actions, isAway }) {
  const { name } = backend;
  const { shed } = store.preview;
  const slider = useRef(null);
  useEffect(() => slider.current?.focus(), []);
  const close = () => {
    store.set({ preview: null });
    document.querySelector(`[aria-label="Shed users of ${CSS.escape(name)}"]`)?.focus();
  };
  const apply = async () => {
    close();
    await actions.shed(name, shed);
  };
  const set = (percent) =>
    store.set({ preview: { name, shed: Math.round(Math.min(100, Math.max(0, percent)) * 100) } });
  const onKeyDown = (event) => {
    if (event.key === 'Escape') close();
  };
  const isSame = shed === backend.shed;
  return html`
    <form class="shed" aria-label=${`Shed users of ${name}`} onKeyDown=${onKeyDown} onSubmit=${(event) => {
      event.preventDefault();
      if (!isSame && !isAway) void apply();
    }}>
      <div class="slide">
        <label for="shed-slider">Part of its users that others answer</label>
        <input id="shed-slider" ref=${slider} type="range" min="0" max="100" step="1" value=${shed / 100} aria-valuetext=${hundredths(shed)} onInput=${(event) => set(event.currentTarget.valueAsNumber)} style=${{ '--part': `${shed / 100}%` }} />
        <input class="exact" type="number" min="0" max="100" step="0.01" value=${shed / 100} aria-label="Percent" onInput=${(
          event,
        ) => {
          if (!Number.isNaN(event.currentTarget.valueAsNumber)) set(event.currentTarget.valueAsNumber);
        }} /><span aria-hidden="true">%</span>
      </div>
      <p class="will" role="status" data-testid="preview">${previewText(backend, backends, shed)}</p>
      <div class="does">
        <button type="submit" class="main" disabled=${isSame || isAway}>Shed ${hundredths(shed)}</button>
        <button type="button" class="quiet" onClick=${close}>Cancel</button>
      </div>
    </form>
  `;
}

function previewText(backend, backends, shed) {
  const { all, moved, to, nowhere } = previewShed(backends, backend.name, shed);
  if (nowhere) return 'No other backend takes users: nobody would move.';
  if (all === null) return 'Its sessions aren’t counted yet.';
  if (shed === backend.shed)
    return backend.shed === 0 ? `None of its ${counted(all, 'user')} moves.` : `It sheds ${hundredths(shed)} now.`;
  if (moved < 0) return `About ${counted(-moved, 'user')} of ${number(all)} come back to it.`;
  const targets = Object.entries(to).sort(([, a], [, b]) => b - a);
  const shown = targets.slice(0, TARGETS_MAX).map(([name, users]) => `${name} ${number(users)}`);
  const more = targets.length - shown.length;
  return `About ${counted(moved, 'user')} of ${number(all)} will move: ${shown.join(', ')}${more > 0 ? ` and ${more} more` : ''}.`;
}
