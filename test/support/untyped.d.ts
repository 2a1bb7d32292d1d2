// What comes without types, and is used by express-app.ts and observability/scrape.ts alone.
declare module 'express';
declare module 'express-session';

declare module 'parse-prometheus-text-format' {
  interface ParsedMetric {
    readonly labels?: Readonly<Record<string, string>>;
    readonly value?: string;
  }
  interface ParsedFamily {
    readonly name: string;
    readonly help: string;
    /** In capital letters. */
    readonly type: string;
    readonly metrics: readonly ParsedMetric[];
  }
  export default function parsePrometheusTextFormat(text: string): ParsedFamily[];
}

/** What runs in the browser is JavaScript as it is written. */
declare module '*/console/page/actions.js';
declare module '*/console/page/api.js';
declare module '*/console/page/attention.js';
declare module '*/console/page/connection.js';
declare module '*/console/page/event-text.js';
declare module '*/console/page/format.js';
declare module '*/console/page/history.js';
declare module '*/console/page/latency.js';
declare module '*/console/page/moves.js';
declare module '*/console/page/sse.js';
declare module '*/console/page/store.js';
declare module '*/console/page/verdicts.js';
