import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { backendIn } from '../../../src/sync/snapshot/session-forms.ts';

const inJson = (path: string, json: string) => backendIn({ in: 'json', path }, Buffer.from(json));

describe('a name in JSON', () => {
  it.each([
    ['backend', '{"backend":"web-1"}', 'web-1'],
    ['a.b.c', '{"a":{"b":{"c":"é€"}}}', 'é€'],
    ['a.1.b', '{"a":[0,{"b":"web-2"}]}', 'web-2'],
    ['__proto__', '{"__proto__":"web-3"}', 'web-3'],
    ['constructor', '{"constructor":"web-4"}', 'web-4'],
  ])('at %s of %s is %s', (path, json, name) => {
    expect(inJson(path, json).toString()).toBe(name);
  });

  it.each(['__proto__', 'constructor', 'constructor.name', 'toString', 'a.length', 'a.__proto__', 's.0', 's.length'])(
    'at %s is none, where only JavaScript has it',
    (path) => {
      expect(inJson(path, '{"a":["x"],"s":"text"}')).toBe('record-no-backend');
    },
  );

  it('is found wherever it stands, and nothing that is in a record makes it throw', () => {
    const name = fc.string({ minLength: 1, unit: 'binary' }).filter((text) => !text.includes('.'));
    fc.assert(
      fc.property(fc.array(name, { minLength: 1, maxLength: 5 }), fc.jsonValue(), (names, other) => {
        const path = names.join('.');
        const json = names.reduceRight<unknown>((inner, key) => Object.fromEntries([[key, inner]]), 'web-1');
        expect(inJson(path, JSON.stringify(json)).toString()).toBe('web-1');
        expect(['string', 'object']).toContain(typeof inJson(path, JSON.stringify(other)));
      }),
      { numRuns: 50 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        const found = backendIn({ in: 'json', path: 'backend' }, Buffer.from(bytes));
        expect(found).toMatch(/^record-/);
      }),
    );
  });
});
