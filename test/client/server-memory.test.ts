import { describe, expect, it } from 'vitest';
import { AVOID_MS, OUTRUN_MAX, ServerMemory } from '../../src/client/server-memory.ts';

describe('standing', () => {
  it('is good at first and after a fresh answer', () => {
    const memory = new ServerMemory();
    expect(memory.standing(0)).toBe('good');
    memory.failed(0);
    memory.answeredFresh();
    expect(memory.standing(0)).toBe('good');
  });

  it.each([
    ['failing', (memory: ServerMemory) => memory.failed(0)],
    ['failing', (memory: ServerMemory) => memory.answeredWithout(0)],
    ['stale', (memory: ServerMemory) => memory.answeredStale(0, -5)],
  ])('is %s for the moment, and again for all but the one that asks after it', (standing, happen) => {
    const memory = new ServerMemory();
    happen(memory);
    memory.asked(AVOID_MS / 2);
    expect(memory.standing(AVOID_MS - 1)).toBe(standing);
    expect(memory.standing(AVOID_MS)).toBe('good');
    memory.asked(AVOID_MS);
    expect(memory.standing(AVOID_MS)).toBe(standing);
    expect(memory.standing(2 * AVOID_MS)).toBe('good');
  });

  it('is failing once it was outrun often enough in a row', () => {
    const memory = new ServerMemory();
    for (let i = 1; i < OUTRUN_MAX; i++) memory.outrun(0);
    expect(memory.standing(0)).toBe('good');
    memory.answeredFresh();
    for (let i = 1; i < OUTRUN_MAX; i++) memory.outrun(0);
    expect(memory.standing(0)).toBe('good');
    memory.outrun(0);
    expect(memory.standing(0)).toBe('failing');
  });
});

it('counts tries without a reply until there is one of any kind', () => {
  for (const reply of [
    (memory: ServerMemory) => memory.answeredFresh(),
    (memory: ServerMemory) => memory.answeredWithout(0),
    (memory: ServerMemory) => memory.answeredStale(0, 0),
  ]) {
    const memory = new ServerMemory();
    memory.failed(0);
    memory.outrun(0);
    expect(memory.unanswered).toBe(2);
    reply(memory);
    expect(memory.unanswered).toBe(0);
  }
});
