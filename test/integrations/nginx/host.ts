/**
 * A load balancer's host for tests: a network namespace of its own with nginx, backends that say who they are, and, as a test
 * wants, gateways made of the responder of src/auth. Everything in it goes away with it.
 */
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BackendServer, startBackend } from '../../../integrations/nginx/backend-server.ts';
import { Browser, counters, expressCookie, type Page } from '../../../integrations/nginx/browser.ts';
import { NginxProcess, type NginxSettings, nginxConf } from '../../../integrations/nginx/nginx-process.ts';
import { TwoHosts } from '../../../src/gateway/demo/network.ts';
import { randomKey } from '../../../src/gateway/demo/stage.ts';

export const NGINX = '127.0.0.1:8000';
/** Long enough for whoever answers at all, however busy the machine is. */
export const PATIENT = 'timeout_ms = 10000';

export type RandomKey = ReturnType<typeof randomKey>;

/** A key file as `gateway keys new` prints it, of mode 600. */
export function writeKeyFile(file: string, keys: readonly RandomKey[]): void {
  const entries = keys.map(({ fields, secret }) => {
    const lines = [`id: ${fields.id}`, `suite: ${fields.suite}`, `encrypt: ${fields.encrypt}`];
    return `  - ${[...lines, `secret: "${Buffer.from(secret).toString('hex')}"`].join('\n    ')}\n`;
  });
  fs.writeFileSync(file, `keys:\n${entries.join('')}`, { mode: 0o600 });
}

export class LoadBalancerHost {
  readonly directory: string;
  readonly keyFile: string;
  readonly backends: BackendServer[] = [];
  readonly #network: TwoHosts;
  #nginx: NginxProcess | undefined;

  private constructor(name: string) {
    this.directory = fs.mkdtempSync(join(tmpdir(), `${name}-`));
    this.keyFile = join(this.directory, 'nginx-keys.yaml');
    this.#network = new TwoHosts(name);
  }

  /** With backends app-1 to app-3 at 127.0.1.1 to 127.0.1.3, port 8080, and `usual` at 127.0.1.9. */
  static async make(name: string): Promise<LoadBalancerHost> {
    const host = new LoadBalancerHost(name);
    for (const i of [1, 2, 3]) host.backends.push(await startBackend(`app-${i}`, `127.0.1.${i}`, 8080));
    host.backends.push(await startBackend('usual', '127.0.1.9', 8080));
    return host;
  }

  /**
   * Starts nginx anew, with counters at zero.
   * @param edit what else is changed in the configuration
   */
  async startNginx(
    settings: Partial<NginxSettings> & Pick<NginxSettings, 'gateways'>,
    edit = (text: string): string => text,
  ): Promise<NginxProcess> {
    await this.#nginx?.stop();
    const { directory, keyFile } = this;
    const own = { directory, listen: NGINX, keyFile, usual: ['127.0.1.9:8080'], ...settings };
    this.#nginx = await NginxProcess.startWith(directory, edit(nginxConf(own)));
    return this.#nginx;
  }

  async close(): Promise<void> {
    await this.#nginx?.stop();
    for (const backend of this.backends) await backend.close();
    this.#network.close();
    fs.rmSync(this.directory, { recursive: true, force: true });
  }
}

/** One page for a session, over a connection of its own. */
export async function visit(sid: string | undefined, path = '/'): Promise<Page> {
  const browser = new Browser(NGINX, sid === undefined ? undefined : expressCookie(sid));
  try {
    return await browser.get(path);
  } finally {
    browser.close();
  }
}

/** Where a session's page came from: the backend's name, or the status where nginx itself answered. */
export async function servedBy(sid: string | undefined): Promise<string> {
  const { backend, status } = await visit(sid);
  return backend ?? String(status);
}

/** The counters that aren't zero, of the families that are named. */
export async function counted(...families: string[]): Promise<Record<string, number>> {
  const all = Object.entries(await counters(NGINX));
  return Object.fromEntries(
    all.filter(([name, count]) => count > 0 && families.some((family) => name.startsWith(family))),
  );
}

export function keyOf(id: number, change: Partial<RandomKey['fields']> = {}): RandomKey {
  const { fields, secret } = randomKey(id);
  return { fields: { ...fields, ...change }, secret };
}
