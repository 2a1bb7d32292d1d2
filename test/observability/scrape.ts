/** /metrics of a daemon, over its socket, and taken apart by a parser that isn't ours. */
import { request } from 'node:http';
import parse from 'parse-prometheus-text-format';

/** One line of the text: a series with its value. */
export interface Series {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Family {
  readonly type: string;
  readonly help: string;
  /** Those of a histogram with the suffixes _bucket (and the label `le`), _sum and _count. */
  readonly series: readonly Series[];
}

export function scrapeText(socket: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath: socket, path: '/metrics', agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.once('end', () => {
        if (response.statusCode === 200) resolve(Buffer.concat(chunks).toString('utf8'));
        else reject(new Error(`/metrics: HTTP status ${response.statusCode}`));
      });
      response.once('error', reject);
    });
    asked.once('error', reject);
    asked.end();
  });
}

const SUFFIX = /_(bucket|sum|count)$/;

/** @throws where the text isn't of Prometheus' format, or names a family twice */
export function families(text: string): Map<string, Family> {
  const byName = new Map<string, { type: string; help: string; series: Series[] }>();
  // The parser takes a histogram for one without labels, so it is given those as what they are made of.
  const histograms = new Set([...text.matchAll(/^# TYPE (\S+) histogram$/gm)].map(([, name]) => name));
  for (const { name, type, help, metrics } of parse(text.replaceAll(/^# TYPE \S+ histogram\n/gm, ''))) {
    const isPart = histograms.has(name.replace(SUFFIX, '')) && SUFFIX.test(name);
    const familyName = isPart ? name.replace(SUFFIX, '') : name;
    if (byName.has(familyName) && !isPart) throw new Error(`${name} is there twice`);
    const isHistogram = histograms.has(familyName);
    const family = byName.get(familyName) ?? { type: isHistogram ? 'histogram' : type.toLowerCase(), help, series: [] };
    byName.set(familyName, family);
    for (const { labels = {}, value } of metrics) {
      if (value !== undefined) family.series.push({ name, labels, value: Number(value.replace('Inf', 'Infinity')) });
    }
  }
  return byName;
}

export const seriesKey = ({ name, labels }: Series): string =>
  `${name}{${Object.entries(labels)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([label, value]) => `${label}=${JSON.stringify(value)}`)
    .join(',')}}`;
