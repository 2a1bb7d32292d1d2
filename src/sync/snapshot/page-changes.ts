/**
 * What the feed says while snapshot pages are under way. A page shows its records as they were at one
 * moment; a session that the feed took away after that moment is held nowhere when the page arrives, so the table
 * can't tell that the page's record is older. May be imported by src/sync only.
 */
import { compareStreamIds, parseStreamId, type StreamId } from '../versions.ts';

/** Sessions remembered for one page; a round trip at the fastest feed brings a few thousand. */
export const CHANGES_MAX = 500_000;

/** The sessions that went away since one page was asked for. */
export class PageChanges {
  /** Cookie hash in hex → id of the entry. */
  readonly #changes = new Map<string, string>();
  /** More came than are remembered: the page can't be used. */
  overtaken = false;

  note(hash: string, id: Buffer): void {
    if (this.#changes.size < CHANGES_MAX) this.#changes.set(hash, id.toString('latin1'));
    else this.overtaken = true;
  }

  /** Whether the session changed after the page's moment. */
  isNewer(hash: string, pageId: StreamId): boolean {
    if (this.#changes.size === 0) return false;
    const id = this.#changes.get(hash);
    return id !== undefined && compareStreamIds(parseStreamId(id), pageId) > 0;
  }
}

/** The pages that are under way: at most one that is applied and one that is asked for. */
export class PagesUnderWay {
  readonly #pages: PageChanges[] = [];

  get any(): boolean {
    return this.#pages.length > 0;
  }

  begin(): PageChanges {
    const page = new PageChanges();
    this.#pages.push(page);
    return page;
  }

  end(page: PageChanges): void {
    const at = this.#pages.indexOf(page);
    if (at >= 0) this.#pages.splice(at, 1);
  }

  note(hash: string, id: Buffer): void {
    for (const page of this.#pages) page.note(hash, id);
  }
}
