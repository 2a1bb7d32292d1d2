import { expect, test } from 'vitest';
import { EventParser } from '../../../src/gateway/control/event-parser.ts';

test('events are the same however the text is cut', () => {
  const text =
    ': hello\n\nevent: state\ndata: {"ready":true}\n\n:\n\nevent: denied\ndata: {"changes":2}\n\nevent: half\ndata: {';
  for (let size = 1; size <= text.length; size += 7) {
    const seen: string[][] = [];
    const parser = new EventParser((...event) => seen.push(event));
    for (let at = 0; at < text.length; at += size) parser.push(text.slice(at, at + size));
    expect(seen).toEqual([
      ['state', '{"ready":true}'],
      ['denied', '{"changes":2}'],
    ]);
  }
});

test('an event without an end is refused', () => {
  const parser = new EventParser(() => undefined);
  parser.push('x'.repeat(1 << 20));
  expect(() => parser.push('x')).toThrow(/^found an event of over 1048576 characters$/);
});
