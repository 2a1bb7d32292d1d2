/** What happened since the page was opened, the newest first. Imported by app.js. */
import { html } from './html.js';

export function EventList({ events }) {
  return html`
    <section class="card log" aria-labelledby="log">
      <h2 id="log">Events</h2>
      <p class="aside">since this page was opened</p>
      <ol tabindex="0" aria-labelledby="log">
        ${events.map(({ key, timeMs, time, text }) => html`<li key=${key}><time datetime=${new Date(timeMs).toISOString()}>${time}</time><span>${text}</span></li>`)}
        ${events.length === 0 && html`<li class="empty">None yet.</li>`}
      </ol>
    </section>
  `;
}
