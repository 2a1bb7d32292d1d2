import { expect, test } from 'vitest';
import { traceFilter } from '../../../src/gateway/control/trace-filter.ts';
import { VERDICT_NAMES } from '../../../src/gateway/verdict-names.ts';
import { ipv4 } from '../../model/frames.ts';

const ALL = { verdicts: VERDICT_NAMES, keyId: null, source: null, oneIn: 1 };

test.each([
  [{}, ALL],
  [{ verdict: 'DROP_TAG,DROP_GUARD' }, { ...ALL, verdicts: ['DROP_TAG', 'DROP_GUARD'] }],
  [
    { key: '4294967295', sample: '100' },
    { ...ALL, keyId: 4_294_967_295, oneIn: 100 },
  ],
  [{ source: '192.0.2.0/24' }, { ...ALL, source: { bytes: ipv4(192, 0, 2, 0), prefixLength: 120 } }],
  [{ source: '192.0.2.7' }, { ...ALL, source: { bytes: ipv4(192, 0, 2, 7), prefixLength: 128 } }],
  [{ source: '::/0' }, { ...ALL, source: { bytes: new Uint8Array(16), prefixLength: 0 } }],
])('%j', (query, filter) => {
  expect(traceFilter(query as Record<string, string>)).toEqual(filter);
});

test.each([
  [{ verdict: 'DROP' }, /^verdict: found "DROP"; allowed: names with commas between, of PASS_OTHER/],
  [{ verdict: 'COUNT' }, /^verdict: /],
  [{ key: '0' }, /^key: found "0"; allowed: 1 to 4294967295$/],
  [{ key: '4294967296' }, /^key: /],
  [{ source: '192.0.2.0/33' }, /^source: found "192\.0\.2\.0\/33"; allowed: an IP address/],
  [{ source: 'example.org' }, /^source: /],
  [{ sample: '0' }, /^sample: found "0"; allowed: 1 to/],
])('%j is refused', (query, message) => {
  expect(() => traceFilter(query as Record<string, string>)).toThrow(
    expect.objectContaining({ code: 'REQUEST_INVALID', message: expect.stringMatching(message) }),
  );
});
