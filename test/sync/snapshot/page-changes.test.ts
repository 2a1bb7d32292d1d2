/** What makes a snapshot page safe against the feed: without Redis, in an order that a test can fix. */
import { describe, expect, it } from 'vitest';
import { Problems } from '../../../src/sync/problems.ts';
import { systemRuntime } from '../../../src/sync/runtime.ts';
import { PageBatch } from '../../../src/sync/snapshot/page-batch.ts';
import { CHANGES_MAX, PageChanges, PagesUnderWay } from '../../../src/sync/snapshot/page-changes.ts';
import type { Page } from '../../../src/sync/snapshot/pages.ts';
import { Records } from '../../../src/sync/snapshot/records.ts';
import { FeedEntries } from '../../../src/sync/stream/feed-entries.ts';
import { KnownBackends } from '../../../src/sync/tables/known-backends.ts';
import { cookieHash } from '../harness.ts';
import { MemoryTable } from '../memory-table.ts';
import { batchOf, encodeReply, replyOf } from '../replies.ts';

const NOW_MS = 1_700_000_000_000;
const LATER_MS = NOW_MS + 3_600_000;

function setUp() {
  const table = new MemoryTable();
  const pages = new PagesUnderWay();
  const backends = new KnownBackends();
  const problems = new Problems(systemRuntime, () => undefined);
  const address = new Uint8Array(16);
  backends.replace(
    [1, 2].map((id) => ({ name: `web-${id}`, id, address, port: 80, state: 'active', weight: 100, shed: 0 })),
  );
  const entries = new FeedEntries({ table, backends, problems, pages });
  const records = new Records({
    table,
    backends,
    problems,
    prefix: 'sess:',
    backend: { in: 'hash', field: 'backend' },
  });
  const feed = (id: string, ...fields: string[]): void => {
    entries.apply(batchOf([id, ...fields]), NOW_MS);
    table.flush();
  };
  const apply = (changes: PageChanges, id: string, ...sids: string[]): number => {
    const flat = sids.flatMap((sid) => [`sess:${sid}`, 'web-1', LATER_MS]);
    const batch = new PageBatch(replyOf(encodeReply(['0', id, ...flat])));
    const page: Page = { batch, changes, tookMs: 1 };
    const applied = records.apply(page);
    table.flush();
    pages.end(changes);
    return applied;
  };
  const found = (sid: string) => table.lookup(cookieHash(sid), NOW_MS);
  return { table, pages, feed, apply, found };
}

describe('a page', () => {
  it('does not bring back a session that was deleted after its moment', () => {
    const { pages, feed, apply, found } = setUp();
    const page = pages.begin();
    feed('5-1', 'op', 'del', 'sid', 'a');
    expect(apply(page, '5-0', 'a', 'b')).toBe(1);
    expect(found('a')).toBeUndefined();
    expect(found('b')).toMatchObject({ ms: 5, seq: 0 });
  });

  it('brings a session that was deleted before its moment and made anew', () => {
    const { pages, feed, apply, found } = setUp();
    const page = pages.begin();
    feed('5-1', 'op', 'del', 'sid', 'a');
    apply(page, '5-1', 'a');
    expect(found('a')).toBeDefined();
  });

  it('does not bring back a session whose new end came before it was applied and that was collected', () => {
    const { table, pages, feed, apply, found } = setUp();
    const page = pages.begin();
    feed('5-1', 'op', 'set', 'sid', 'a', 'backend', 'web-2', 'expires', String(NOW_MS - 1));
    feed('5-2', 'op', 'set', 'sid', 'b', 'backend', 'web-2', 'expires', String(LATER_MS));
    table.collect(NOW_MS);
    apply(page, '5-0', 'a', 'b');
    expect(found('a')).toBeUndefined();
    expect(found('b')).toMatchObject({ backendId: 2, seq: 2 });
  });

  it('does not win over an entry whose version can not be told from its own', () => {
    const { pages, feed, apply, found } = setUp();
    const page = pages.begin();
    feed('9000000000000-7', 'op', 'set', 'sid', 'a', 'backend', 'web-2', 'expires', '0');
    feed('9000000000000-5', 'op', 'set', 'sid', 'b', 'backend', 'web-2', 'expires', '0');
    apply(page, '9000000000000-6', 'a', 'b');
    expect(found('a')).toMatchObject({ backendId: 2 });
    expect(found('b')).toMatchObject({ backendId: 1 });
  });

  it('knows of the changes since it was asked for, and no others', () => {
    const { pages, feed, apply, found } = setUp();
    feed('5-1', 'op', 'del', 'sid', 'a');
    const first = pages.begin();
    const second = pages.begin();
    feed('5-2', 'op', 'del', 'sid', 'b');
    apply(first, '5-0', 'a', 'b');
    expect(found('a')).toBeDefined();
    expect(found('b')).toBeUndefined();
    feed('5-3', 'op', 'del', 'sid', 'c');
    apply(second, '5-1', 'b', 'c', 'd');
    expect([found('b'), found('c')]).toEqual([undefined, undefined]);
    expect(found('d')).toBeDefined();
    expect(pages.any).toBe(false);
  });

  it('is of no use once more went away than is remembered', () => {
    const { apply } = setUp();
    const changes = new PageChanges();
    const id = Buffer.from('5-1');
    for (let i = 0; i < CHANGES_MAX; i++) changes.note(String(i), id);
    expect(changes.overtaken).toBe(false);
    changes.note('one more', id);
    expect(() => apply(changes, '5-0', 'a')).toThrow('a snapshot page took too long');
  });
});
