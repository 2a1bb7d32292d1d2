/** The control API, asked with the token. Imported by main.js. */

const TIMEOUT_MS = 30_000;

/** What the API refused with (RFC 9457), or why it could not be asked: then `code` is null. */
export class Problem extends Error {
  constructor(message, { code = null, status = 0, cause = undefined } = {}) {
    super(message, { cause });
    this.code = code;
    this.status = status;
  }
}

export class Api {
  #token;
  #onRefused;
  /** The token's refusal: asked again, it would only count as one more wrong token of this address. */
  #refused;

  /** @param onRefused told when the token isn't that of the gateway any more */
  constructor(token, onRefused) {
    this.#token = token;
    this.#onRefused = onRefused;
  }

  get backends() {
    return this.ask('GET', '/v1/backends');
  }

  /** Changes fields of a backend. */
  patchBackend(name, fields) {
    return this.ask('PATCH', `/v1/backends/${encodeURIComponent(name)}`, fields);
  }

  removeBackend(name, force) {
    return this.ask('DELETE', `/v1/backends/${encodeURIComponent(name)}${force ? '?force=true' : ''}`);
  }

  settle(backend) {
    return this.ask('POST', '/v1/settle', { backend });
  }

  stopSettle() {
    return this.ask('DELETE', '/v1/settle');
  }

  reloadKeys() {
    return this.ask('POST', '/v1/keys/reload');
  }

  /** @returns the answer's JSON, undefined where it has none. @throws Problem */
  async ask(method, path, body) {
    const response = await this.#fetch(method, path, body, AbortSignal.timeout(TIMEOUT_MS));
    return response.status === 204 ? undefined : await response.json();
  }

  /** The stream of events with figures, which has no end. @returns its text, piece by piece */
  async events(signal) {
    const response = await this.#fetch('GET', '/v1/events?stats=true', undefined, signal);
    return response.body.pipeThrough(new TextDecoderStream()).getReader();
  }

  async #fetch(method, path, body, signal) {
    if (this.#refused !== undefined) throw this.#refused;
    let response;
    try {
      response = await fetch(new URL(path.slice(1), document.baseURI), {
        method,
        signal,
        headers: {
          authorization: `Bearer ${this.#token}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        cache: 'no-store',
        credentials: 'omit',
        redirect: 'error',
      });
    } catch (error) {
      throw new Problem('it does not answer', { cause: error });
    }
    if (response.ok) return response;
    const problem = await response.json().catch(() => ({}));
    const refusal = new Problem(problem.detail ?? `HTTP status ${response.status}`, {
      code: problem.code,
      status: response.status,
    });
    if (response.status === 401) {
      this.#refused = refusal;
      this.#onRefused(refusal.message);
    }
    throw refusal;
  }
}
