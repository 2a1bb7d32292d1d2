/**
 * The certificates for Redis, from the files that `redis.tls` names. They are read again for each connection, so that
 * renewed ones work without a restart; where that fails, the last good ones stay. May be imported by src/gateway only.
 */
import { X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { processGroups, readBoundedFile, readPrivateFile } from '../auth/private-file.ts';
import type { TlsOptions } from '../sync/redis/redis-options.ts';
import type { Config } from './config.ts';
import { failure, reasonOf } from './errors.ts';

type TlsSettings = NonNullable<Config['redis']['tls']>;

/** A bundle of all public authorities has a quarter of that. */
const FILE_MAX_BYTES = 1024 * 1024;
/** RFC 7468, section 5.1 */
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g;

/**
 * Reads them once at once.
 * @param onFault told, at every connection that meets it, why the files can't be used now
 * @returns what a connection asks before it is made
 * @throws GatewayError REDIS_TLS_INVALID
 */
export function tlsSource(settings: TlsSettings, onFault: (reason: string) => void): () => TlsOptions {
  let good = readTls(settings);
  return () => {
    try {
      good = readTls(settings);
    } catch (error) {
      onFault(reasonOf(error));
    }
    return good;
  };
}

function readTls({ caFile, certFile, keyFile, serverName }: TlsSettings): TlsOptions {
  const ca = caFile === null ? undefined : readCertificates('caFile', caFile);
  const cert = certFile === null ? undefined : readCertificates('certFile', certFile);
  const key = keyFile === null ? undefined : readKey(keyFile);
  const options: TlsOptions = { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
  try {
    createSecureContext(options);
  } catch (error) {
    const reason = `redis.tls: certFile and keyFile can't be used: ${reasonOf(error)}; allowed: a certificate and its own unencrypted key, in PEM`;
    throw failure('REDIS_TLS_INVALID', { reason }, error);
  }
  return { ...options, ...(serverName !== null && { servername: serverName }) };
}

function readCertificates(setting: string, file: string): string {
  return checked(setting, 'one or more certificates in PEM, at most 1 MiB', () => {
    const text = readBoundedFile(file, FILE_MAX_BYTES);
    const certificates = text.match(CERTIFICATE);
    if (certificates === null) throw new RangeError(`${file}: found no certificate`);
    for (const [i, certificate] of certificates.entries()) requireCertificate(file, i + 1, certificate);
    return text;
  });
}

function requireCertificate(file: string, number: number, pem: string): void {
  try {
    new X509Certificate(pem);
  } catch (error) {
    throw new RangeError(`${file}: certificate ${number} can't be read: ${reasonOf(error)}`, { cause: error });
  }
}

function readKey(file: string): string {
  return checked('keyFile', 'an unencrypted private key in PEM that others may not read', () =>
    readPrivateFile(file, FILE_MAX_BYTES, processGroups()),
  );
}

function checked(setting: string, allowed: string, read: () => string): string {
  try {
    return read();
  } catch (error) {
    const reason = `redis.tls.${setting}: ${reasonOf(error)}; allowed: ${allowed}`;
    throw failure('REDIS_TLS_INVALID', { reason }, error);
  }
}
