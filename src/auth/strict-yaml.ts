/**
 * YAML 1.2 taken strictly, for files that people write: no tags, no aliases, each name once; and where in the text a
 * value stands. May be imported by every floor above.
 *
 * The YAML library's own messages quote the text, which may hold a secret: none is passed on.
 */
import {
  type Document,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  type Pair,
  parseDocument,
  visit,
  type YAMLMap,
} from 'yaml';

export type YamlPath = readonly (string | number)[];

/** Something that is not YAML, or not taken here. Lines and columns begin at 1. */
export interface YamlFault {
  readonly line: number;
  readonly column: number;
  /** The library's name for it, or DUPLICATE_KEY or NESTED_TOO_DEEP. */
  readonly code: string;
}

/** Thrown by `content` where the file has an alias: it could make much of little. */
export class YamlAliasError extends Error {
  override readonly name = 'YamlAliasError';
}

/** Lists and explicit keys begun one in another on one line: the library takes a time that grows with the square of it. */
const NESTED_ON_ONE_LINE = /^ *(?:[-?] +){33}/m;

/** Faults that say nothing about what comes after them. After any other, most of the rest is misread. */
const INDEPENDENT: ReadonlySet<string> = new Set(['DUPLICATE_KEY', 'TAG_RESOLVE_FAILED']);

export class StrictYaml {
  readonly faults: readonly YamlFault[];
  readonly #lines = new LineCounter();
  readonly #document: Document | undefined;
  readonly #pairs = new WeakMap<YAMLMap, ReadonlyMap<unknown, Pair>>();

  constructor(text: string) {
    if (NESTED_ON_ONE_LINE.test(text)) {
      this.faults = [{ line: 1, column: 1, code: 'NESTED_TOO_DEEP' }];
      return;
    }
    try {
      this.#document = parseDocument(text, {
        lineCounter: this.#lines,
        prettyErrors: false,
        stringKeys: true,
        resolveKnownTags: false,
        logLevel: 'error',
        // The library compares each name with all before it, which takes minutes for a file of nothing but names.
        uniqueKeys: false,
      });
      this.faults = this.#faultsOf(this.#document);
    } catch (error) {
      // The library calls itself for each level.
      if (!(error instanceof RangeError)) throw error;
      this.faults = [{ line: 1, column: 1, code: 'NESTED_TOO_DEEP' }];
    }
  }

  #faultsOf(document: Document): YamlFault[] {
    const errors = [...document.errors, ...document.warnings].map(({ pos, code }) => ({
      at: pos[0],
      code: String(code),
    }));
    const followUp = errors.find(({ code }) => !INDEPENDENT.has(code));
    return [...errors, ...duplicateNames(document)]
      .filter((error) => error === followUp || INDEPENDENT.has(error.code))
      .sort((a, b) => a.at - b.at)
      .map(({ at, code }) => {
        const { line, col } = this.#lines.linePos(at);
        return { line, column: col, code };
      });
  }

  /**
   * The file as plain values.
   * @throws YamlAliasError
   */
  content(): unknown {
    try {
      return this.#document?.toJS({ maxAliasCount: 0 });
    } catch (error) {
      // Without the cause: its message names the alias, which is a word of the file.
      if (error instanceof ReferenceError) throw new YamlAliasError('found an alias (*)');
      throw error;
    }
  }

  /** Offset in the text of the name at a path, or of the nearest thing around it; undefined where there is nothing. */
  offsetOf(path: YamlPath): number | undefined {
    let node: unknown = this.#document?.contents;
    let offset = isNode(node) ? node.range?.[0] : undefined;
    for (const part of path) {
      const pair = isMap(node) ? this.#pairsOf(node).get(part) : undefined;
      const next = pair?.value ?? (isSeq(node) ? node.items[Number(part)] : undefined);
      // The name, not the value: a value may begin on a later line.
      const place = pair?.key ?? next;
      if (!isNode(place) || !place.range) break;
      offset = place.range[0];
      node = next;
    }
    return offset;
  }

  /** By name; made once for each node, since a file can have thousands of problems. */
  #pairsOf(map: YAMLMap): ReadonlyMap<unknown, Pair> {
    const known = this.#pairs.get(map);
    if (known !== undefined) return known;
    const pairs = new Map(map.items.map((pair) => [isScalar(pair.key) ? pair.key.value : pair.key, pair]));
    this.#pairs.set(map, pairs);
    return pairs;
  }

  /** Number of the line at an offset, from 1. */
  lineAt(offset: number): number {
    return this.#lines.linePos(offset).line;
  }
}

/** What stands at a path of plain values; undefined where nothing does. */
export function valueAt(content: unknown, path: YamlPath): unknown {
  let value = content;
  for (const part of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined;
    value = Reflect.get(value, part);
  }
  return value;
}

function duplicateNames(document: Document): { at: number; code: string }[] {
  const found: { at: number; code: string }[] = [];
  visit(document, {
    Map(_, { items }) {
      const names = new Set<unknown>();
      for (const { key } of items) {
        if (!isScalar(key)) continue;
        if (names.has(key.value)) found.push({ at: key.range?.[0] ?? 0, code: 'DUPLICATE_KEY' });
        names.add(key.value);
      }
    },
  });
  return found;
}
