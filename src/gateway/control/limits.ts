/**
 * The bounds of the control API, one place for the server and the client of it. May be imported by src/gateway only.
 */

export const BODY_MAX_BYTES = 16 * 1024;
/** Request line and headers together; the longest session id fits, with every byte percent-encoded. */
export const HEADERS_MAX_BYTES = 16 * 1024;
/** Of the socket, and as many again over TCP, so that neither keeps out the other's clients. */
export const CONNECTIONS_MAX = 64;
/** Requests of one connection that are not yet answered; more is no use to anyone, and each keeps an answer in memory. */
export const PIPELINED_MAX = 8;
/** How long a client may take to send a request, and how long a connection may idle. */
export const REQUEST_TIMEOUT_MS = 10_000;
/** How often the above is looked at. */
export const TIMEOUT_CHECK_MS = 1_000;
/** From a request's headers to the last byte of its answer in the client's hands; Redis has 5 s of it at most. */
export const EXCHANGE_TIMEOUT_MS = 30_000;
/** How long a backend's removal looks for sessions that are stored on it; with the rest it stays below the above. */
export const USE_SEARCH_MS = 15_000;
/** Backends that have series of their own in /metrics: whoever has more asks for the sums, and Prometheus is spared. */
export const BACKEND_SERIES_MAX = 500;
/** /metrics has about 40 KiB, and 350 bytes a backend; a list of 65,535 backends about 8 MiB. */
export const ANSWER_MAX_BYTES = 16 * 1024 * 1024;
