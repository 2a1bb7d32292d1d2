/**
 * Why an agent leaves HAProxy: the status codes of SPOP 2.0 (SPOE.txt, section 3.5) that are used here. May be imported by
 * src/gateway/spoe only.
 */

export const SpopStatus = {
  NONE: 0,
  TIMEOUT: 2,
  TOO_BIG: 3,
  INVALID: 4,
  NO_VERSION: 5,
  NO_FRAME_SIZE: 6,
  NO_CAPABILITIES: 7,
  BAD_VERSION: 8,
  BAD_FRAME_SIZE: 9,
  FRAGMENTED: 10,
} as const;

export type SpopStatus = (typeof SpopStatus)[keyof typeof SpopStatus];

export class SpopError extends Error {
  override readonly name = 'SpopError';
  readonly status: SpopStatus;

  constructor(status: SpopStatus, message: string) {
    super(message);
    this.status = status;
  }
}
