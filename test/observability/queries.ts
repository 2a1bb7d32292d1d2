/**
 * What PromQL expressions name: metrics, with the labels that each is asked by. No more of the language than dashboards and
 * alerts here use; that the rest of it is right, promtool says.
 */

export interface Selector {
  readonly metric: string;
  readonly labels: readonly { readonly name: string; readonly operator: string; readonly value: string }[];
}

export interface Query {
  readonly selectors: readonly Selector[];
  /** Labels that results are grouped or matched by. */
  readonly groupedBy: readonly string[];
}

const GROUPING = /\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)/g;
const KEYWORDS = new Set(['and', 'or', 'unless', 'bool', 'offset', 'inf', 'nan']);

/** @throws at what it does not know */
export function parseQuery(expression: string): Query {
  const groupedBy: string[] = [];
  // What is in quotes could look like anything.
  const strings: string[] = [];
  const bare = expression
    .replaceAll(/"((?:[^"\\]|\\.)*)"/g, (_, text: string) => `"${strings.push(text) - 1}"`)
    .replaceAll(GROUPING, (_, list: string) => {
      groupedBy.push(
        ...list
          .split(',')
          .map((name) => name.trim())
          .filter((name) => name !== ''),
      );
      return ' ';
    })
    .replaceAll(/\[[^\]]*\]/g, ' ');
  const selectors: Selector[] = [];
  for (const [, name = '', call, , matchers] of bare.matchAll(/([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(\()?(\{([^}]*)\})?/g)) {
    if (call !== undefined || KEYWORDS.has(name.toLowerCase())) continue;
    const labels = (matchers ?? '')
      .split(',')
      .filter((matcher) => matcher.trim() !== '')
      .map((matcher) => {
        const [, label, operator, index] = /^\s*([a-z_]+)\s*(=~|!~|!=|=)\s*"(\d+)"\s*$/.exec(matcher) ?? [];
        if (label === undefined || operator === undefined)
          throw new Error(`not a matcher: ${matcher} in ${expression}`);
        return { name: label, operator, value: strings[Number(index)] ?? '' };
      });
    selectors.push({ metric: name, labels });
  }
  if (selectors.length === 0) throw new Error(`no metric in ${expression}`);
  return { selectors, groupedBy };
}

/** Every expression that a dashboard asks with, with where it stands. */
export function dashboardQueries(dashboard: unknown): { where: string; expression: string }[] {
  const found: { where: string; expression: string }[] = [];
  const walk = (value: unknown, where: string): void => {
    if (Array.isArray(value)) {
      for (const item of value) walk(item, where);
    } else if (typeof value === 'object' && value !== null) {
      const record = value as Record<string, unknown>;
      const here = typeof record['title'] === 'string' ? record['title'] : where;
      const { expr, definition } = record;
      if (typeof expr === 'string') found.push({ where: here, expression: expr });
      if (typeof definition === 'string') {
        const [, selector = ''] = /^label_values\((.*), [a-z]+\)$/.exec(definition) ?? [];
        found.push({ where: `variable ${String(record['name'])}`, expression: selector });
      }
      for (const item of Object.values(record)) walk(item, here);
    }
  };
  walk(dashboard, 'dashboard');
  return found;
}

/** With Grafana's variables replaced, as Prometheus gets it. */
export function asPrometheusGetsIt(expression: string): string {
  return expression.replaceAll('$__rate_interval', '1m').replaceAll(/\$[a-z]+/g, '.*');
}
