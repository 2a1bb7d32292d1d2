/**
 * `/console`: the web page and its files, on the socket and over TCP. They hold no data and are given to anyone who gets this far;
 * whatever the page shows it asks of the API, with the token. Imported by control/app.ts and commands/console.ts.
 */
import { createHash } from 'node:crypto';
import type { FastifyInstance, FastifyReply } from 'fastify';
import { failure } from '../errors.ts';
import { type ConsoleFile, consoleFiles } from './files.ts';

/** Patterns of the router, as it names them; authentication.ts lets these through. */
export const CONSOLE_PAGE = '/console';
export const CONSOLE_FILES = '/console/*';

const INDEX = 'index.html';

/** What the page is answered with, and what a browser may do with it. */
export interface ConsoleAnswer {
  readonly file: ConsoleFile;
  readonly headers: Readonly<Record<string, string>>;
}

export class Console {
  readonly #files = consoleFiles();
  #policy: string | undefined;

  /** @param name below `/console/`; '' = the page itself. @returns undefined where there is no such file */
  find(name: string): ConsoleAnswer | undefined {
    const file = this.#files.get(name === '' ? INDEX : name)?.();
    if (file === undefined) return undefined;
    const { contentType, etag } = file;
    return {
      file,
      headers: {
        'content-type': contentType,
        etag,
        // Another version of the gateway has other files under the same names.
        'cache-control': 'no-cache',
        'content-security-policy': this.#contentPolicy(),
        'x-content-type-options': 'nosniff',
        'x-frame-options': 'DENY',
        'referrer-policy': 'no-referrer',
        'cross-origin-opener-policy': 'same-origin',
        'cross-origin-resource-policy': 'same-origin',
        'permissions-policy': 'camera=(), geolocation=(), microphone=()',
      },
    };
  }

  /** Scripts and styles of this origin alone; in the page itself the import map, by its hash, and nothing else. */
  #contentPolicy(): string {
    this.#policy ??= [
      "default-src 'none'",
      `script-src 'self' '${importMapHash(String(this.#files.get(INDEX)?.().content))}'`,
      "style-src 'self'",
      "img-src 'self'",
      "connect-src 'self'",
      "base-uri 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
      "require-trusted-types-for 'script'",
      "trusted-types 'none'",
    ].join('; ');
    return this.#policy;
  }
}

/** @returns a hash source of Content Security Policy Level 3 */
export function importMapHash(html: string): string {
  const map = /<script type="importmap">([^<]*)<\/script>/.exec(html)?.[1] ?? '';
  return `sha256-${createHash('sha256').update(map).digest('base64')}`;
}

export function addConsole(app: FastifyInstance): void {
  const pages = new Console();
  app.route<{ Params: { readonly '*'?: string } }>({
    method: 'GET',
    url: CONSOLE_PAGE,
    handler: (request, reply) => answer(request.headers['if-none-match'], reply, ''),
  });
  app.route<{ Params: { readonly '*': string } }>({
    method: 'GET',
    url: CONSOLE_FILES,
    handler: (request, reply) => {
      const name = request.params['*'];
      // What the page names is beside it: read from here it would be looked for one folder too low. Relative, since a proxy may have a prefix.
      if (name === '' || name === INDEX) return reply.redirect('../console');
      return answer(request.headers['if-none-match'], reply, name);
    },
  });

  function answer(known: string | undefined, reply: FastifyReply, name: string) {
    const found = pages.find(name);
    if (found === undefined) throw failure('ROUTE_UNKNOWN', { method: 'GET' });
    reply.headers(found.headers);
    if (known === found.file.etag) return reply.code(304).send();
    return reply.send(found.file.content);
  }
}
