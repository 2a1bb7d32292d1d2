/**
 * Certificates for tests, made by openssl in a folder of the test's own: an authority with what it has signed.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Signed {
  readonly certFile: string;
  readonly keyFile: string;
}

export class Authority {
  readonly caFile: string;
  readonly #folder: string;
  readonly #keyFile: string;

  /** @param folder is made; @param name shown in the certificates */
  constructor(folder: string, name: string) {
    mkdirSync(folder, { recursive: true });
    this.#folder = folder;
    this.caFile = join(folder, 'ca.pem');
    this.#keyFile = join(folder, 'ca.key');
    this.#openssl(
      'req',
      '-x509',
      '-newkey',
      'ec',
      ...CURVE,
      '-nodes',
      '-days',
      '2',
      '-subj',
      `/CN=${name}`,
      '-keyout',
      this.#keyFile,
      '-out',
      this.caFile,
    );
  }

  /** @param alternativeNames as `DNS:redis.test,IP:127.0.0.1`; the same file name is written over */
  sign(name: string, alternativeNames: string): Signed {
    const [certFile, keyFile] = [join(this.#folder, `${name}.pem`), join(this.#folder, `${name}.key`)];
    const [request, extensions] = [join(this.#folder, `${name}.csr`), join(this.#folder, `${name}.ext`)];
    writeFileSync(extensions, `subjectAltName=${alternativeNames}\n`);
    this.#openssl(
      'req',
      '-newkey',
      'ec',
      ...CURVE,
      '-nodes',
      '-subj',
      `/CN=${name}`,
      '-keyout',
      keyFile,
      '-out',
      request,
    );
    this.#openssl(
      'x509',
      '-req',
      '-in',
      request,
      '-CA',
      this.caFile,
      '-CAkey',
      this.#keyFile,
      '-days',
      '2',
      '-extfile',
      extensions,
      '-out',
      certFile,
    );
    return { certFile, keyFile };
  }

  #openssl(...parameters: string[]): void {
    execFileSync('openssl', parameters, { stdio: 'ignore' });
  }
}

const CURVE = ['-pkeyopt', 'ec_paramgen_curve:prime256v1'];

/** Settings of a redis-server that speaks TLS on its port and nothing else. @param clients whether they need a certificate */
export function tlsSettings(port: number, { certFile, keyFile }: Signed, caFile: string, clients = true): string[] {
  const files = [`tls-cert-file ${certFile}`, `tls-key-file ${keyFile}`, `tls-ca-cert-file ${caFile}`];
  return ['port 0', `tls-port ${port}`, ...files, `tls-auth-clients ${clients ? 'yes' : 'no'}`];
}
