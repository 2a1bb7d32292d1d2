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
