/**
 * Server-sent events out of text that comes in pieces (HTML Living Standard, section 9.2.6), as far as the gateway uses them. Pure.
 * EventSource isn't used: it sends no header, and so the token would be in an address.
 */

/** More than this without an end of an event is no event of ours. */
const UNFINISHED_MAX = 16 * 1024 * 1024;

/** @returns takes a piece of text, gives the events that it completes: { type, data } with `data` parsed */
export function eventParser() {
  let rest = '';
  return (text) => {
    rest += text;
    if (rest.length > UNFINISHED_MAX) throw new RangeError('an event without an end');
    const blocks = rest.split('\n\n');
    rest = blocks.pop();
    return blocks.map(parseBlock).filter((event) => event !== undefined);
  };
}

function parseBlock(block) {
  let type = 'message';
  const data = [];
  for (const line of block.split('\n')) {
    if (line.startsWith('event: ')) type = line.slice('event: '.length);
    else if (line.startsWith('data: ')) data.push(line.slice('data: '.length));
  }
  // Comments alone, as the beat is.
  return data.length === 0 ? undefined : { type, data: JSON.parse(data.join('\n')) };
}
