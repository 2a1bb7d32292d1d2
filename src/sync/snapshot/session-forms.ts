/**
 * The forms in which applications keep a session: where in its record the backend's name stands
 * (docs/redis.md, "Sessions"). Pure. May be imported by every floor above.
 */
import { NAME_MAX_BYTES } from '../limits.ts';

export type BackendSource =
  /** In a field of a hash. */
  | { readonly in: 'hash'; readonly field: string }
  /** In a string that is JSON: names joined by dots, one for each object (or, by number, list) on the way down. */
  | { readonly in: 'json'; readonly path: string }
  /** The whole string. */
  | { readonly in: 'value' };

/** A session that is longer as JSON is not read, bytes. */
export const JSON_MAX_BYTES = 65_536;

/** The arguments of record.lua that say what is read. */
export function readArguments(source: BackendSource): readonly [form: string, field: string, maxBytes: number] {
  if (source.in === 'hash') return ['hash', source.field, NAME_MAX_BYTES];
  return ['string', '', source.in === 'json' ? JSON_MAX_BYTES : NAME_MAX_BYTES];
}

/** Why a record names no backend. */
export type NoBackend = 'record-no-backend' | 'record-backend' | 'record-json';

/**
 * The backend's name in what was read of a record.
 * @param value what record.lua returned; null where there is nothing
 */
export function backendIn(source: BackendSource, value: Buffer | null): Buffer | NoBackend {
  if (value === null) return 'record-no-backend';
  const name = source.in === 'json' ? nameInJson(value, source.path) : value;
  if (typeof name === 'string') return name;
  return name.length === 0 || name.length > NAME_MAX_BYTES ? 'record-backend' : name;
}

function nameInJson(json: Buffer, path: string): Buffer | NoBackend {
  let value: unknown;
  try {
    value = JSON.parse(json.toString('utf8'));
  } catch {
    // Without the reason: it quotes the session.
    return 'record-json';
  }
  for (const name of path.split('.')) {
    // Own properties only: "__proto__" or "length" of what JSON.parse made name nothing, unless the text has them.
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return 'record-no-backend';
    value = (value as Record<string, unknown>)[name];
  }
  return typeof value === 'string' ? Buffer.from(value, 'utf8') : 'record-no-backend';
}
