/** The Dockerfile and the Kubernetes manifest, against what the code needs: neither a container runtime nor a cluster is here to try them. */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { ROOT } from '../../packaging/package-folder.ts';
import { readKeyFile } from '../../src/auth/key-file-access.ts';
import { loadConfig } from '../../src/gateway/config.ts';
import { missingCapabilities } from '../../src/gateway/kernel/capabilities.ts';
import { STOP_TIMEOUT_MS } from '../../src/gateway/lifecycle.ts';

const read = (path: string): string => fs.readFileSync(join(ROOT, path), 'utf8');
const UNIT = read('packaging/systemd/session-gateway.service');
const DOCKERFILE = read('packaging/docker/Dockerfile');

interface Probe {
  readonly httpGet: { readonly host: string; readonly port: number; readonly path: string };
}

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  // biome-ignore lint/suspicious/noExplicitAny: of Kubernetes' own shape, looked at field by field
  readonly [field: string]: any;
}

const manifests = parseAllDocuments(read('packaging/kubernetes/session-gateway.yaml')).map((document) => {
  expect([...document.errors, ...document.warnings]).toEqual([]);
  return document.toJS() as Manifest;
});
const byKind = (kind: string): Manifest => {
  const found = manifests.filter((manifest) => manifest.kind === kind);
  expect(found).toHaveLength(1);
  return found[0] as Manifest;
};
const pod = byKind('DaemonSet')['spec'].template.spec;
const [container] = pod.containers;

function config() {
  const folder = fs.mkdtempSync(join(tmpdir(), 'manifest-'));
  try {
    const file = join(folder, 'gateway.yaml');
    fs.writeFileSync(file, byKind('ConfigMap')['data']['gateway.yaml']);
    return loadConfig(file);
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}

/** What systemd's unit says under a name. */
const unit = (name: string): string | undefined => new RegExp(`^${name}=(.*)$`, 'm').exec(UNIT)?.[1];

test('all of the manifest is in one namespace, without a secret in it', () => {
  expect(manifests.map(({ kind }) => kind)).toEqual(['Namespace', 'ConfigMap', 'DaemonSet']);
  const [namespace, ...others] = manifests;
  for (const { metadata } of others) expect(metadata.namespace).toBe(namespace?.metadata.name);
  expect(byKind('DaemonSet')['spec'].selector.matchLabels).toEqual(
    byKind('DaemonSet')['spec'].template.metadata.labels,
  );
});

test('its configuration is one that the gateway takes, with every path on a volume', () => {
  const { keys, pins, control } = config();
  const mounts = container.volumeMounts as { name: string; mountPath: string; readOnly?: boolean }[];
  const volumeOf = (path: string) => mounts.find(({ mountPath }) => path.startsWith(`${mountPath}/`));
  expect(volumeOf(keys)).toMatchObject({ name: 'secret', readOnly: true });
  expect(volumeOf(control.tokenFile ?? '')).toMatchObject({ name: 'secret' });
  expect(volumeOf(pins)).toEqual({ name: 'bpf', mountPath: '/bpf' });
  expect(volumeOf(control.socket)).toEqual({ name: 'run', mountPath: '/run/session-gateway' });
  expect(volumeOf(container.args[2])).toMatchObject({ name: 'config' });
});

test('each mount has its volume, and each volume its mount', () => {
  const names = (list: { name: string }[]): string[] => list.map(({ name }) => name).sort();
  expect(names(container.volumeMounts)).toEqual(names(pod.volumes));
  const [config, secret, bpf] = ['config', 'secret', 'bpf'].map((name) =>
    pod.volumes.find((volume: { name: string }) => volume.name === name),
  );
  expect(config.configMap.name).toBe(byKind('ConfigMap').metadata.name);
  // As in the unit: nobody else may read it, and Kubernetes takes decimal numbers.
  expect(secret.secret.defaultMode & 0o077).toBe(0);
  expect(bpf.hostPath).toEqual({ path: '/sys/fs/bpf', type: 'Directory' });
});

test.each(['on a machine without a gateway', 'where there is a gateway with a key of its own'])(
  'the commands at its top make a key file that the daemon takes, %s',
  (where) => {
    const folder = fs.mkdtempSync(join(tmpdir(), 'manifest-'));
    try {
      fs.mkdirSync(join(folder, 'config'));
      fs.writeFileSync(join(folder, 'config/gateway.yaml'), 'listen: { interfaces: [eth0] }\nkeys: own.yaml\n');
      const own = `keys:\n  - { id: 7, secret: "${'5a'.repeat(32)}" }\n`;
      if (where.includes('own')) fs.writeFileSync(join(folder, 'config/own.yaml'), own, { mode: 0o600 });
      const commands = [
        ...read('packaging/kubernetes/session-gateway.yaml').matchAll(/^# {3}(umask|.*keys\.yaml {4}).*$/gm),
      ];
      expect(commands).toHaveLength(2);
      const script = commands.map(([line]) => line.slice(1)).join('\n');
      const env = { ...process.env, PATH: `${join(ROOT, 'bin')}:${process.env['PATH']}` };
      execFileSync('sh', ['-euc', script], { cwd: folder, env });
      expect([...readKeyFile(join(folder, 'keys.yaml'))].map(({ id, name }) => [id, name])).toEqual([
        [1, 'edge-fleet'],
      ]);
    } finally {
      fs.rmSync(folder, { recursive: true });
    }
  },
);

test('it has the capabilities that the daemon asks for, and no other', () => {
  const needed = missingCapabilities('CapEff:\t0000000000000000\n').sort();
  const { add, drop } = container.securityContext.capabilities;
  expect(drop).toEqual(['ALL']);
  expect(add.map((name: string) => `CAP_${name}`).sort()).toEqual(needed);
  expect(unit('AmbientCapabilities')?.split(' ').sort()).toEqual(needed);
  expect(unit('CapabilityBoundingSet')?.split(' ').sort()).toEqual(needed);
  const told = [...DOCKERFILE.matchAll(/--cap-add (\S+)/g)].map(([, name]) => `CAP_${name}`);
  expect(told.sort()).toEqual(needed);
  expect(pod.hostNetwork).toBe(true);
});

test('the probes ask where the API listens, for what needs no token', () => {
  const { livenessProbe, readinessProbe, startupProbe } = container as Record<string, Probe>;
  const { http } = config().control;
  expect(http).not.toBeNull();
  for (const probe of [livenessProbe, readinessProbe, startupProbe]) expect(probe?.httpGet).toMatchObject(http ?? {});
  expect(livenessProbe?.httpGet.path).toBe('/healthz');
  expect(startupProbe?.httpGet.path).toBe('/healthz');
  expect(readinessProbe?.httpGet.path).toBe('/readyz');
});

test('memory and time are those of the unit, and enough', () => {
  expect(container.resources.limits).toEqual({ memory: `${unit('MemoryMax')}i` });
  const { capacity } = config().sessions;
  expect(400e6 + 190 * capacity).toBeLessThan(2 ** 30);
  expect(pod.terminationGracePeriodSeconds * 1000).toBeGreaterThan(STOP_TIMEOUT_MS);
  expect(Number(unit('TimeoutStopSec')) * 1000).toBeGreaterThan(STOP_TIMEOUT_MS);
});

test.each([
  ['packaging/systemd/session-gateway.service', 1],
  ['packaging/kubernetes/session-gateway.yaml', 2],
  ['docs/install.md', 2],
])('what %s says of memory is what the others say', (file, count) => {
  const told = [...read(file).matchAll(/(\d+) MB\b[^.]{0,40} (\d+) bytes\b/g)].map(([, rest, session]) => [
    rest,
    session,
  ]);
  expect(told).toEqual(Array(count).fill(['400', '190']));
});

/** The Dockerfile's instructions by their names, lines joined, comments left out. */
function instructions(): [name: string, rest: string][] {
  const lines = DOCKERFILE.replace(/^#.*\n/gm, '').replace(/\\\n\s*/g, ' ');
  return lines
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [, name, rest] = /^([A-Z]+) (.+)$/.exec(line) ?? [];
      if (name === undefined || rest === undefined) throw new Error(`not an instruction: ${line}`);
      return [name, rest];
    });
}

test('the image is made in two stages from what is here, and keeps no key', () => {
  const all = instructions();
  expect(all.map(([name]) => name).join(' ')).toMatch(/^FROM (RUN|WORKDIR|COPY| )+ FROM RUN ENTRYPOINT CMD$/);
  for (const [, rest] of all.filter(([name]) => name === 'COPY')) {
    for (const source of rest.split(' ').slice(0, -1)) expect(fs.existsSync(join(ROOT, source)), source).toBe(true);
  }
  const runs = all.filter(([name]) => name === 'RUN').map(([, rest]) => rest);
  for (const [, script] of runs.join(' ').matchAll(/node (\S+\.ts)/g))
    expect(fs.existsSync(join(ROOT, script as string)), script).toBe(true);
  // What bpf/Makefile compiles with.
  for (const [, tool] of read('bpf/Makefile').matchAll(/\?= (?:clang|llvm)\S*-(\d+)$/gm))
    expect(runs[0]).toMatch(new RegExp(`clang-${tool} llvm-${tool} `));
  expect(runs.at(-1)).toMatch(/rm -rf .*\/etc\/session-gateway\/keys\.yaml$/);
  const [entry, command] = ['ENTRYPOINT', 'CMD'].map((wanted) => all.find(([name]) => name === wanted)?.[1] ?? '');
  expect([JSON.parse(entry as string), JSON.parse(command as string)]).toEqual([['gateway'], container.args]);
});
