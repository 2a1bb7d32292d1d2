/**
 * On paper: what a 100 GbE card with RSS would need, from the cost of a packet as measured. Pure. May be imported by bench only.
 *
 * Assumed: receiving and sending in the card's driver costs what both crossings of a veth pair and the counting cost here; RSS spreads packets evenly
 * over as many queues as cores, since requests come from many addresses and ports; a core more is a core's work more ("Growth with cores");
 * cores as fast as the one that was measured; neither PCIe nor memory is full before: a lookup touches four cache lines at most, 22 GB/s at line rate.
 * Request and reply have the same length, so both directions are full at once.
 */
import { figures, median, type Section } from './measure.ts';

const BITS_PER_SECOND = 100e9;
/** Ethernet, IPv4 and UDP; frame check sequence; preamble and gap. */
const AROUND_BYTES = 42 + 4 + 20;
const LOOKUP_BYTES = 80;

/** Most lookups a second that fit the wire. */
export function lineRate(lookupsPerPacket: number): number {
  const payload = lookupsPerPacket === 1 ? LOOKUP_BYTES : 56 + 16 * lookupsPerPacket;
  return (BITS_PER_SECOND / 8 / (AROUND_BYTES + payload)) * lookupsPerPacket;
}

/** Of the rows of section "cost" that are answered natively; undefined where that was not measured. */
export function nicSection(sections: readonly Section[]): Section | undefined {
  const cost = sections.find(({ id }) => id === 'cost');
  if (cost === undefined) return undefined;
  const rows = cost.rows
    .filter(({ name }) => /^(hmac-sha256|blake2s)/.test(name) && !name.includes('generic'))
    .map((row) => {
      const cpuSeconds = median(figures(row, 'own'));
      const line = lineRate(Number(/batch of (\d+)/.exec(row.name)?.[1] ?? 1));
      return { name: row.name, turns: [{ core: 1e6 / cpuSeconds, line, cores: (line * cpuSeconds) / 1e6 }] };
    });
  return {
    id: 'nic',
    title: 'On paper: 100 GbE with RSS',
    about:
      'From the cost of a packet as measured above, the sender taken out. Assumed: the driver of the card costs a packet what both crossings of the pair cost here, ' +
      'RSS spreads evenly over a queue for each core, cores add up as above and are as fast as this one, PCIe and memory are not full before.',
    columns: [
      { id: 'core', title: 'lookups/s of a core', digits: 0 },
      { id: 'line', title: 'lookups/s that fit the wire', digits: 0 },
      { id: 'cores', title: 'cores for line rate', digits: 0 },
    ],
    rows,
    leftOut: [],
  };
}
