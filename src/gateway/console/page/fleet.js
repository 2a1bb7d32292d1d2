/** Each gateway of the fleet, side by side, as it says of itself. Imported by app.js. */
import { gatewayText } from './event-text.js';
import { compact, duration, percent } from './format.js';
import { html } from './html.js';

export function Fleet({ fleet: { self, members, problem } }) {
  return html`
    <section class="card fleet" aria-labelledby="fleet">
      <h2 id="fleet">Gateways</h2>
      <p class="aside">${problem === null ? (members.length === 1 ? 'one at this Redis' : `${members.length} at this Redis`) : 'this one alone'}</p>
      ${problem !== null && html`<p class="empty">The others aren’t known: ${problem}</p>`}
      <table>
        <thead><tr><th scope="col">Gateway</th><th scope="col">State</th><th scope="col" class="n">Lookups/s</th><th scope="col" class="n">Hit ratio</th><th scope="col" class="n">Behind Redis</th><th scope="col" class="n">Sessions</th></tr></thead>
        <tbody>${members.map((member) => html`<${Member} key=${member.id} member=${member} isSelf=${member.id === self} />`)}</tbody>
      </table>
    </section>
  `;
}

function Member({ member, isSelf }) {
  const { name, version, ageMs, answersPerSecond, hitRatio, sessions, capacity } = member;
  const { kind, word, isSilent, clock } = gatewayText(member);
  const old = (value) => (isSilent ? '–' : value);
  return html`
    <tr class=${isSilent ? 'is-silent' : ''}>
      <th scope="row">${name}${isSelf ? html` <span class="tag">this one</span>` : ''}<span class="muted block">${version}</span></th>
      <td data-label="State"><span class="pill ${kind}"><span class="dot" aria-hidden="true"></span>${word}</span>${clock !== null && html`<span class="warn block">${clock}</span>`}</td>
      <td class="n" data-label="Lookups/s">${old(compact(answersPerSecond))}</td>
      <td class="n" data-label="Hit ratio">${old(percent(hitRatio))}</td>
      <td class="n" data-label="Behind Redis">${old(ageMs === null ? 'never in step' : ageMs < 1_500 ? 'in step' : duration(ageMs))}</td>
      <td class="n" data-label="Sessions"><span>${compact(sessions)} <span class="muted">of ${compact(capacity)}</span></span></td>
    </tr>
  `;
}
