/** The slider by which a backend is made to shed: what would happen is shown before it is let go. Imported by backends.js. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { hundredths } from './format.js';
import { html } from './html.js';
import { previewText } from './moves.js';

export function Shed({ backend, backends, store, actions, isAway }) {
  const { name } = backend;
  const { shed } = store.preview;
  const slider = useRef(null);
  useEffect(() => slider.current?.focus(), []);
  const close = () => {
    store.set({ preview: null });
    /** @type {HTMLElement | null} */
    const button = document.querySelector(`[aria-label="Shed users of ${CSS.escape(name)}"]`);
    button?.focus();
  };
  const apply = async () => {
    close();
    await actions.shed(name, shed);
  };
  // What is typed stays as it is until the field is left, though the figures are drawn every second.
  const [typed, setTyped] = useState(null);
  const set = (percent) =>
    store.set({ preview: { name, shed: Math.round(Math.min(100, Math.max(0, percent)) * 100) } });
  const onType = (event) => {
    const text = event.currentTarget.value;
    setTyped(text);
    const percent = percentOf(text);
    if (percent !== null) set(percent);
  };
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
        <input class="exact" inputmode="decimal" autocomplete="off" size="6" value=${typed ?? String(shed / 100)} aria-label="Percent" aria-invalid=${typed !== null && percentOf(typed) === null} onInput=${onType} onBlur=${() => setTyped(null)} /><span aria-hidden="true">%</span>
      </div>
      <p class="will" role="status" data-testid="preview">${previewText(backends, name, shed)}</p>
      <div class="does">
        <button type="submit" class="main" disabled=${isSame || isAway}>Shed ${hundredths(shed)}</button>
        <button type="button" class="quiet" onClick=${close}>Cancel</button>
      </div>
    </form>
  `;
}

/** @returns the number that is typed, with a point or a comma; null where it is none */
function percentOf(text) {
  const trimmed = text.trim();
  return /^(\d+[.,]?\d*|[.,]\d+)$/.test(trimmed) ? Number(trimmed.replace(',', '.')) : null;
}
