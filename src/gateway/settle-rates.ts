/**
 * Sessions that settling moves a second: unless another number is given, and at most. May be imported by src/gateway only.
 */

export const SETTLE_RATE_DEFAULT = 2_000;
export const SETTLE_RATE_MAX = 100_000;
