/**
 * CHANGELOG.md, taken apart: one section a version, newest first, "Unreleased" before them (Keep a Changelog 1.1.0). Imported by what builds
 * and checks releases.
 */

export interface Section {
  /** "Unreleased", or a version. */
  readonly name: string;
  /** YYYY-MM-DD; null for what isn't released. */
  readonly date: string | null;
  /** Markdown, without the heading. */
  readonly text: string;
}

const HEADING = /^## (.*)$/gm;

/** @throws Error for a heading of the second level that is neither "[Unreleased]" nor "[VERSION] - DATE" */
export function sections(changelog: string): Section[] {
  const headings = [...changelog.matchAll(HEADING)];
  return headings.map((heading, i) => {
    const text = changelog.slice(heading.index + heading[0].length, headings[i + 1]?.index).trim();
    return { ...sectionName(heading[1] as string), text };
  });
}

function sectionName(heading: string): Pick<Section, 'name' | 'date'> {
  if (heading === '[Unreleased]') return { name: 'Unreleased', date: null };
  const [, version, date] = /^\[(\d+\.\d+\.\d+(?:-[0-9A-Za-z.]+)?)\] - (\d{4}-\d{2}-\d{2})$/.exec(heading) ?? [];
  if (version === undefined || date === undefined) {
    throw new Error(`CHANGELOG.md: found the heading "${heading}", allowed: [Unreleased], [1.2.3] - YYYY-MM-DD`);
  }
  return { name: version, date };
}

/**
 * What is said of a version: its own section, or, of the version that is worked on, what is unreleased.
 * @throws Error when there is neither
 */
export function sectionOf(changelog: string, version: string, present: string = version): Section {
  const all = sections(changelog);
  const own = all.find(({ name }) => name === version);
  const found = own ?? (version === present ? all.find(({ name }) => name === 'Unreleased') : undefined);
  if (found !== undefined && found.text !== '') return found;
  const names = all.map(({ name }) => name).join(', ');
  throw new Error(`CHANGELOG.md: found nothing for ${version}; it has ${names || 'no section'}`);
}
