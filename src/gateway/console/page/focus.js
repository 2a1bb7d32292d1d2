/** The focus stays where one works, though what had it is gone. Imported by parts of the page that change under the hand. */
import { useLayoutEffect, useRef } from 'preact/hooks';

/**
 * After a drawing that took away what had the focus, it goes to what `find` gives.
 * @param find given the element of the reference
 * @returns the reference, of the element within which this goes
 */
export function useFocusKept(find) {
  const within = useRef(null);
  const had = useRef(null);
  useLayoutEffect(() => {
    if (had.current?.isConnected === false && document.activeElement === document.body) find(within.current)?.focus();
    had.current = within.current?.contains(document.activeElement) ? document.activeElement : null;
  });
  return within;
}

/** A backend's first button; without the backend, all of them. @param options of `focus` */
export function focusBackend(name, options) {
  const row = name === undefined ? null : document.querySelector(`[data-backend="${CSS.escape(name)}"]`);
  (firstButton(row) ?? document.getElementById('backends'))?.focus(options);
}

export function firstButton(row) {
  return row?.querySelector('.does button:not(:disabled)');
}

/** Of a button that can't be used for a while: unlike a disabled one it keeps the focus. */
export function pausable(isPaused, onClick) {
  return { 'aria-disabled': isPaused, onClick: isPaused ? undefined : onClick };
}
