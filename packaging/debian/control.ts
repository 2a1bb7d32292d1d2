/**
 * What the Debian package says about itself: control, changelog, version. Imported by build.ts and tests.
 */
import type { Section } from '../release/changelog.ts';

/** deb-changelog(5), as lintian(1) has it. */
const LINE_MAX = 80;
const MAINTAINER = 'session-gateway authors <session-gateway@localhost>';

/** 1.0.0-rc.1 comes before 1.0.0: what begins with a tilde sorts before nothing (deb-version(7)). */
export function debianVersion(version: string): string {
  return version.replace('-', '~');
}

export function control(version: string, architecture: string, description: string, installedKiB: number): string {
  return `Package: session-gateway
Version: ${debianVersion(version)}
Architecture: ${architecture}
Maintainer: ${MAINTAINER}
Installed-Size: ${installedKiB}
Depends: libbpf1 (>= 1:1.0), libc6 (>= 2.28), libgcc-s1, libstdc++6 (>= 9), adduser, init-system-helpers (>= 1.54)
Suggests: redis-server (>= 5:7.0), haproxy, libnginx-mod-http-lua
Section: net
Priority: optional
Description: ${description.split(':')[0]}
 Load balancers ask over UDP, with authenticated requests, on which backend
 a user's session is. An XDP program answers from BPF maps, which a daemon
 keeps in step with Redis. When the daemon is stopped or upgraded the kernel
 goes on answering.
 .
 It has a Node.js of its own, of the version that it was tested with.
`;
}

/**
 * A changelog in Debian's form (deb-changelog(5)), of one entry: what is told of this version.
 * @param date of the build
 */
export function changelog(version: string, { date, text }: Section, built: Date): string {
  const distribution = date === null ? 'UNRELEASED' : 'stable';
  const when = date === null ? built : new Date(`${date}T00:00:00Z`);
  const rfc2822 = when.toUTCString().replace('GMT', '+0000');
  return `session-gateway (${debianVersion(version)}) ${distribution}; urgency=medium

${lines(text).join('\n')}

 -- ${MAINTAINER}  ${rfc2822}
`;
}

/** "### Added" becomes "[ Added ]", and each point one that begins with an asterisk. */
function lines(markdown: string): string[] {
  const points: string[] = [];
  for (const line of markdown.split('\n').filter((line) => line.trim() !== '')) {
    if (line.startsWith('### ')) points.push(`  [ ${line.slice(4)} ]`);
    else if (line.startsWith('- ')) points.push(`  * ${line.slice(2)}`);
    else if (points.at(-1)?.startsWith('  [ ') === false) points.push(`${points.pop()} ${line.trim()}`);
    else points.push(`    ${line.trim()}`);
  }
  return points.flatMap(folded);
}

/** In lines as short as Debian has them; a word that is longer stays whole. */
function folded(point: string): string[] {
  const [first = '', ...words] = point.trimEnd().split(/(?<=\S) /);
  const result = [first];
  for (const word of words) {
    const line = `${result.at(-1)} ${word}`;
    if (line.length <= LINE_MAX) result[result.length - 1] = line;
    else result.push(`    ${word}`);
  }
  return result;
}
