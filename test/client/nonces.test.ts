import { expect, it } from 'vitest';
import { realEnvironment } from '../../src/client/environment.ts';
import { NonceSource } from '../../src/client/nonces.ts';

it('gives 8 bytes, never the same, over many draws', () => {
  const nonces = new NonceSource(realEnvironment);
  const seen = new Set<string>();
  for (let i = 0; i < 2000; i++) seen.add(Buffer.from(nonces.next()).toString('hex'));
  expect(seen.size).toBe(2000);
  expect([...seen].every((nonce) => nonce.length === 16)).toBe(true);
});

it('gives arrays that later draws leave as they are', () => {
  let filler = 0;
  const nonces = new NonceSource({ ...realEnvironment, fillRandom: (bytes) => bytes.fill(++filler) });
  const first = nonces.next();
  for (let i = 0; i < 2000; i++) nonces.next();
  expect(filler).toBeGreaterThan(1);
  expect([...first]).toEqual(new Array(8).fill(1));
});
