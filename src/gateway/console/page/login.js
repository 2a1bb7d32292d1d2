/** Asks for the token, which stays in this tab. Imported by app.js. */
import { useEffect, useRef } from 'preact/hooks';
import { html } from './html.js';

export function Login({ refused, onToken }) {
  const field = useRef(null);
  useEffect(() => field.current?.focus(), []);
  const submit = (event) => {
    event.preventDefault();
    const token = field.current.value.trim();
    if (token !== '') void onToken(token);
  };
  return html`
    <main class="login">
      <form class="card" onSubmit=${submit}>
        <svg class="mark" viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="9" /><path d="M7 11h8c5 0 5 10 10 10M7 21h8c5 0 5-10 10-10" /></svg>
        <h1>session-gateway</h1>
        <p class="muted">The token is the line in the gateway’s token file, or at the end of the address that “gateway console” prints. It stays in this tab, and goes with it.</p>
        <label for="token">Token</label>
        <input id="token" ref=${field} type="password" autocomplete="off" spellcheck=${false} required aria-describedby=${refused === null ? undefined : 'refused'} aria-invalid=${refused !== null} />
        ${refused !== null && html`<p id="refused" class="refused" role="alert">It was refused: ${refused}</p>`}
        <button type="submit" class="main">Sign in</button>
      </form>
    </main>
  `;
}
