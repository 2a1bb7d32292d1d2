/** A question before what hurts, or can't be taken back. Imported by app.js. */
import { useLayoutEffect, useRef } from 'preact/hooks';
import { focusBackend } from './focus.js';
import { html } from './html.js';

export function Question({ question, onClose }) {
  const dialog = useRef(null);
  const asker = useRef(null);
  useLayoutEffect(() => {
    if (question === null) return undefined;
    asker.current = document.activeElement;
    dialog.current.showModal();
    return () => {
      if (asker.current?.isConnected) asker.current.focus();
      else focusBackend();
    };
  }, [question]);
  if (question === null) return null;
  const { title, text, confirm, run } = question;
  const yes = () => {
    onClose();
    void run();
  };
  return html`
    <dialog ref=${dialog} aria-labelledby="question" aria-describedby="question-text" onClose=${onClose}>
      <h2 id="question">${title}</h2>
      <p id="question-text">${text}</p>
      <div class="does">
        <button type="button" onClick=${onClose}>Cancel</button>
        <button type="button" class="danger" onClick=${yes}>${confirm}</button>
      </div>
    </dialog>
  `;
}
