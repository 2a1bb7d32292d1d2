/** Each gateway of the fleet, side by side, as it says of itself. Imported by app.js. */
import { compact, duration, percent, seconds } from './format.js';
import { html } from './html.js';

/** A gateway says how it is every two seconds. */
const SILENT_MS = 8_000;

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
  const { name, version, ageMs, silentMs, answersPerSecond, hitRatio, sessions, capacity } = member;
  const isSilent = silentMs > SILENT_MS;
  const [kind, word] = isSilent ? ['bad', `Silent for ${seconds(silentMs)}`] : stateOf(member);
  const old = (value) => (isSilent ? '–' : value);
  return html`
    <tr class=${isSilent ? 'is-silent' : ''}>
      <th scope="row">${name}${isSelf ? html` <span class="tag">this one</span>` : ''}<span class="muted block">${version}</span></th>
      <td data-label="State"><span class="pill ${kind}"><span class="dot" aria-hidden="true"></span>${word}</span></td>
      <td class="n" data-label="Lookups/s">${old(compact(answersPerSecond))}</td>
      <td class="n" data-label="Hit ratio">${old(percent(hitRatio))}</td>
      <td class="n" data-label="Behind Redis">${old(ageMs === null ? 'never in step' : ageMs < 1_500 ? 'in step' : duration(ageMs))}</td>
      <td class="n" data-label="Sessions"><span>${compact(sessions)} <span class="muted">of ${compact(capacity)}</span></span></td>
    </tr>
  `;
}

function stateOf({ ready, state }) {
  if (!ready) return ['warn', 'Loading'];
  if (state === 'connecting') return ['bad', 'Redis away'];
  return state === 'resyncing' ? ['warn', 'Reading again'] : ['good', 'Live'];
}
