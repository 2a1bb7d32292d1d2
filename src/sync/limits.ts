/**
 * The bounds of what is read from Redis. May be imported by every floor above.
 */

/** A session id, bytes. */
export const SID_MAX_BYTES = 1024;
/** The name of a backend or of a fact, bytes. */
export const NAME_MAX_BYTES = 256;
/** 9999-12-31T23:59:59.999Z: whatever ends later is taken for this. */
export const EXPIRES_MAX_MS = 253_402_300_799_999;
export const BACKEND_ID_MAX = 65_535;
export const BACKEND_WEIGHT_MAX = 65_535;
/** Hundredths of a percent. */
export const BACKEND_SHED_MAX = 10_000;
/** An entry of the backends' hash, bytes. */
export const BACKEND_ENTRY_MAX_BYTES = 4096;
/** Entries of the backends' hash, and of that of their ids: every id once. */
export const BACKENDS_MAX = BACKEND_ID_MAX;
/** The names and values of those hashes, bytes: 65,535 backends with names of 60. */
export const BACKENDS_MAX_BYTES = 9 * 2 ** 20;
export const BACKEND_IDS_MAX_BYTES = 4 * 2 ** 20;
/** Hexadecimal digits of a cookie hash. */
export const COOKIE_HASH_DIGITS = 32;
/** Members of the sorted set of revoked sessions, those that are over included; four times what a gateway holds. */
export const DENIED_MEMBERS_MAX = 2 ** 20;
/** The value of a fact, bytes. */
export const FACT_VALUE_MAX_BYTES = 24;
/** Entries of the facts' hash, and of that of their ids; twice what a gateway holds. */
export const FACTS_MAX = 8192;
/** The names and values of each of those hashes, bytes: as many as a gateway holds, with the longest names. */
export const FACTS_MAX_BYTES = 1.25 * 2 ** 20;
/** The id of a feed entry as text, bytes. */
export const STREAM_ID_MAX_BYTES = 41;
/**
 * One reply of Redis, or those to keys that are read together, bytes. Above the backends' table, and above the two that
 * follow; of the feed as much is asked for as fits.
 */
export const REPLY_MAX_BYTES = 16 * 2 ** 20;
/** Values of one reply that is read in place: four times what the backends' table has, the largest one. */
export const REPLY_VALUES_MAX = 2 ** 20;
/** One page of a snapshot, bytes: of large sessions it has fewer. A page that can't be made smaller may have thrice as many. */
export const PAGE_MAX_BYTES = 4 * 2 ** 20;
/** Values of keys that are read together, bytes, were each as long as it may be. */
export const KEYS_MAX_BYTES = 8 * 2 ** 20;
