/** What was done, each with a way back for as long as it is shown. Imported by app.js. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { focusBackend, pausable } from './focus.js';
import { html } from './html.js';

/** Nobody reads on the clock: it stays while it is pointed at or has the focus. */
const SHOWN_MS = 20_000;

export function Toasts({ store }) {
  return html`
    <div class="toasts" role="status">
      ${store.toasts.map((toast) => html`<${Toast} key=${toast.key} toast=${toast} isAway=${store.phase === 'away'} onEnd=${() => store.dismiss(toast.key)} />`)}
    </div>
  `;
}

function Toast({ toast: { text, undo, isProblem, name }, isAway, onEnd }) {
  const root = useRef(null);
  const [isHeld, setHeld] = useState(false);
  const [isUndoing, setUndoing] = useState(false);
  const stays = isHeld || isUndoing || (isAway && undo !== undefined);
  useEffect(() => {
    if (stays) return undefined;
    const timeout = setTimeout(onEnd, SHOWN_MS);
    return () => clearTimeout(timeout);
  }, [stays]);
  const hold = () => setHeld(true);
  const letGo = () => setHeld(false);
  const end = () => {
    const focused = document.activeElement;
    if (root.current?.contains(focused)) {
      // Who works with a mouse isn't taken there.
      focusBackend(name, { preventScroll: !focused.matches(':focus-visible') });
    }
    onEnd();
  };
  const takeBack = async () => {
    setUndoing(true);
    const isOver = await undo();
    setUndoing(false);
    if (isOver) end();
  };
  return html`
    <div ref=${root} class="toast ${isProblem ? 'bad' : ''}" onMouseEnter=${hold} onMouseLeave=${letGo} onFocusIn=${hold} onFocusOut=${letGo}>
      <p>${text}</p>
      ${undo && html`<button type="button" disabled=${isAway} ...${pausable(isUndoing, takeBack)}>Undo</button>`}
      <button type="button" class="close" aria-label="Dismiss" onClick=${end}>×</button>
    </div>
  `;
}
