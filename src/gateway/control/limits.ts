/**
 * The bounds of the control API, one place for the server and the client of it. May be imported by src/gateway only.
 */

export const BODY_MAX_BYTES = 16 * 1024;
/** Request line and headers together; the longest session id fits, with every byte percent-encoded. */
export const HEADERS_MAX_BYTES = 16 * 1024;
export const CONNECTIONS_MAX = 64;
/** How long a client may take to send a request, and how long a connection may idle. */
export const REQUEST_TIMEOUT_MS = 10_000;
/** The longest answer, /metrics, has about 20 KiB; a list of 65,535 backends about 8 MiB. */
export const ANSWER_MAX_BYTES = 16 * 1024 * 1024;
