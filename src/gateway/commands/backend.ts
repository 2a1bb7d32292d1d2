/**
 * `gateway backends`, `gateway backend set` and `gateway backend remove`. May be imported by src/gateway only.
 */
import type { Command } from 'commander';
import { failure, reasonOf } from '../errors.ts';
import type { BackendRecord, BackendUse, BackendView, BackendViews } from '../ports.ts';
import { addCommand, type ConfigOption, integer, type JsonOption, print, printJson, withBackend } from './common.ts';
import { withDirectory } from './directory.ts';
import { listing, NO_BACKENDS, number, printable } from './text.ts';

interface SetOptions extends ConfigOption, JsonOption {
  readonly id?: number;
  readonly address?: string;
  readonly weight?: number;
}

interface RemoveOptions extends ConfigOption, JsonOption {
  readonly force?: boolean;
}

export function addBackend(program: Command): void {
  addCommand(program, 'backends', {
    description: 'List the backends that Redis has, and how much they are used.',
    notes: `SHARE is the part of new users that is placed on a backend. SESSIONS are those stored on it and LOOKUPS/S those answered with it lately, as the gateway on this machine counts them (the former within the last minute or so), where there is one to ask.`,
    example: 'gateway backends --json | jq .backends[].name',
  }).action(async ({ config, json }: ConfigOption & JsonOption) => {
    const { list, notKnown } = await backendViews(config);
    if (json) printJson(list);
    else print(viewsText(list, notKnown, process.stdout.columns));
    for (const { name, message } of json ? [] : list.faults) {
      process.stderr.write(`gateway: backend ${printable(name)} is wrong in Redis: ${printable(message)}\n`);
    }
  });

  const backend = program.command('backend').description('Change the backends that Redis has.');

  const set = addCommand(backend, 'set', {
    description: 'Add a backend, or change what is given of one.',
    notes: 'Needs no daemon.',
    example: 'gateway backend set web-1 --id 1 --address 10.0.0.11:8080',
  });
  withBackend(set, 'name of the backend, as sessions have it')
    .option(
      '--id <id>',
      'number of the backend, 1 to 65535; needed for a new one, and its own for ever',
      integer(1, 65_535),
    )
    .option(
      '--address <address>',
      'IP address and port, as 10.0.0.11:8080 or [2001:db8::11]:8080; needed for a new one',
    )
    .option(
      '--weight <weight>',
      'share of users among the backends, 0 to 65535 (100 for a new one)',
      integer(0, 65_535),
    )
    .action(async (name: string, { config, json, ...fields }: SetOptions) => {
      if (Object.keys(fields).length === 0) {
        const problem = 'found nothing to set: name --id, --address or --weight';
        throw failure('USAGE_INVALID', { problem, help: 'gateway backend set' });
      }
      const record = await withDirectory(config, (directory) => directory.patchBackend(name, fields));
      if (json) printJson(record);
      else print(recordText(record));
    });

  const remove = addCommand(backend, 'remove', {
    description: 'Remove a backend that no session is stored on. Its id is not given to another name.',
    notes: `Needs no daemon. Looks at every session in Redis. To let a backend go without anyone noticing: "gateway drain", then "gateway settle", then this.`,
    example: 'gateway backend remove web-1',
  });
  withBackend(remove)
    .option('--force', 'also where sessions are stored on it: their users are not found from then on')
    .action(async (name: string, { config, json, force = false }: RemoveOptions) => {
      await withDirectory(config, (directory) => directory.removeBackend(name, { force }));
      if (json) printJson({ name });
      else print(`${printable(name)} is removed`);
    });
}

/** What Redis has, with what this machine's gateway counts; without one, why that isn't known. */
async function backendViews(config: string | undefined): Promise<{ list: BackendViews; notKnown: string | null }> {
  const { sharesOf } = await import('../present-answers.ts');
  const { backends, faults } = await withDirectory(config, (directory) => directory.backends());
  const { uses, notKnown } = await askUses(config);
  const shares = sharesOf(backends);
  const views = backends.map((backend): BackendView => {
    const { sessions = null, lookupsPerSecond = null } = uses.get(backend.name) ?? {};
    return { ...backend, share: shares.get(backend.id) ?? 0, sessions, lookupsPerSecond };
  });
  return { list: { backends: views, faults }, notKnown };
}

async function askUses(
  config: string | undefined,
): Promise<{ uses: ReadonlyMap<string, BackendUse>; notKnown: string | null }> {
  const { askConfigured } = await import('../control/ask.ts');
  try {
    const { backends } = (await askConfigured(config, { method: 'GET', path: '/v1/backends' })) as BackendViews;
    return { uses: new Map(backends.map((backend) => [backend.name, backend])), notKnown: null };
  } catch (error) {
    return { uses: new Map(), notKnown: reasonOf(error) };
  }
}

const HEADINGS = ['NAME', 'ID', 'ADDRESS', 'STATE', 'WEIGHT', 'SHED'] as const;

function cells({ name, id, address, state, weight, shed }: BackendRecord): string[] {
  return [printable(name), String(id), address, state, String(weight), `${shed / 100} %`];
}

/** One backend, after a change. */
export function recordText(record: BackendRecord): string {
  return listing(HEADINGS, [cells(record)]);
}

/** So that web-2 comes before web-10. */
const BY_NAME = new Intl.Collator('en', { numeric: true });

/** @param columns width of the terminal, where it is one */
export function viewsText({ backends }: BackendViews, notKnown: string | null, columns?: number): string {
  if (backends.length === 0) return NO_BACKENDS;
  const counted = (value: number | null) => (value === null ? '-' : number(value));
  const rows = [...backends]
    .sort((a, b) => BY_NAME.compare(a.name, b.name))
    .map((backend) => {
      const { share, sessions, lookupsPerSecond } = backend;
      const counts = notKnown === null ? [counted(sessions), counted(lookupsPerSecond)] : [];
      return [...cells(backend), `${(100 * share).toFixed(1)} %`, ...counts];
    });
  const headings = [...HEADINGS, 'SHARE', ...(notKnown === null ? ['SESSIONS', 'LOOKUPS/S'] : [])];
  const text = listing(headings, rows, columns);
  return notKnown === null ? text : `${text}\nsessions and lookups are not known: ${printable(notKnown)}`;
}
