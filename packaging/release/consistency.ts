/**
 * Whether all that names the version names the same one, and the changelog is in order. Imported by check.ts and tests.
 */
import { type Section, sections } from './changelog.ts';

/** The texts that are compared. */
export interface Release {
  /** package.json */
  readonly manifest: string;
  /** package-lock.json */
  readonly lock: string;
  /** CHANGELOG.md */
  readonly changelog: string;
  /** packaging/kubernetes/session-gateway.yaml */
  readonly kubernetes: string;
}

/**
 * @param isFinal what is about to be published, rather than what is being worked on: its section must have its own heading and date, and
 *   nothing may be left unreleased
 * @returns what is wrong, each with what to do; empty when nothing is
 */
export function problems({ manifest, lock, changelog, kubernetes }: Release, isFinal: boolean): string[] {
  const { version } = JSON.parse(manifest) as { version: string };
  const found: string[] = [];
  const say = (where: string, has: string | undefined, remedy: string): void => {
    if (has !== version) found.push(`${where}: found ${has ?? 'none'}, package.json has ${version}: ${remedy}`);
  };
  const locked = JSON.parse(lock) as { version: string; packages: { '': { version: string } } };
  say('package-lock.json', locked.version, 'run npm install --package-lock-only');
  say('package-lock.json, the package itself', locked.packages[''].version, 'run npm install --package-lock-only');
  const [, tag] = /image: \S*session-gateway:(\S+)/.exec(kubernetes) ?? [];
  say('packaging/kubernetes/session-gateway.yaml, image', tag, 'set its tag');
  const other = [...kubernetes.matchAll(/session-gateway:(\d\S*)/g)].find(([, named]) => named !== version)?.[1];
  if (other !== undefined) say('packaging/kubernetes/session-gateway.yaml, its top', other, 'set the tags there');
  const all = sections(changelog);
  return [...found, ...order(all), ...(isFinal ? unfinished(all, version) : [])];
}

function order(all: readonly Section[]): string[] {
  const released = all.filter(({ date }) => date !== null);
  return [
    ...(all.findIndex(({ name }) => name === 'Unreleased') > 0 ? ['CHANGELOG.md: [Unreleased] comes first'] : []),
    ...released.flatMap(({ name, date }, i) => {
      const newer = released[i - 1];
      if (newer === undefined) return [];
      if (newer.name === name) return [`CHANGELOG.md: found ${name} twice: join the two`];
      if (newer.date !== null && date !== null && newer.date < date) {
        return [`CHANGELOG.md: found ${name} (${date}) below ${newer.name} (${newer.date}): put the newest first`];
      }
      return [];
    }),
  ];
}

function unfinished(all: readonly Section[], version: string): string[] {
  const left = all.find(({ name }) => name === 'Unreleased');
  return [
    ...(all.find(({ date }) => date !== null)?.name === version
      ? []
      : [
          `CHANGELOG.md: found no newest section for ${version}: head what is unreleased with "## [${version}] - DATE"`,
        ]),
    ...(left === undefined || left.text === ''
      ? []
      : ['CHANGELOG.md: found unreleased changes: they belong to this version']),
  ];
}
