/** Alert rules: what promtool says of them, when they fire and when they don't, and that each has its page. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import cases from './alert-cases.json' with { type: 'json' };
import { ALERTS_FILE, ROOT, readAlerts, readDashboard } from './dashboards.ts';
import { asPrometheusGetsIt, dashboardQueries } from './queries.ts';

const folder = mkdtempSync(join(tmpdir(), 'alerts-'));
afterAll(() => rmSync(folder, { recursive: true }));

const RUNBOOKS = `${ROOT}docs/runbooks`;
const SECTIONS = ['What it means', 'What users notice', 'How to look', 'What to do', 'How to see that it is over'];
const alerts = readAlerts();

/** Its output; where it finds fault, that is thrown with it. */
function promtool(...args: string[]): string {
  try {
    return execFileSync('promtool', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    throw new Error(`promtool ${args.join(' ')}:\n${stdout}${stderr}`);
  }
}

test('the rules are well-formed, and each says what it is about, how grave, and where to read on', () => {
  expect(promtool('check', 'rules', ALERTS_FILE)).toContain(`${alerts.length} rules found`);
  expect(new Set(alerts.map(({ alert }) => alert)).size).toBe(alerts.length);
  for (const { alert, labels, annotations } of alerts) {
    expect(alert).toMatch(/^SessionGateway[A-Z]/);
    expect(['warning', 'critical']).toContain(labels.severity);
    expect(annotations.summary, alert).toMatch(/\.$/);
  }
});

test("every expression of the dashboard is one of Prometheus'", () => {
  const rules = dashboardQueries(readDashboard()).map(({ expression }, i) => ({
    record: `query:${i}`,
    expr: asPrometheusGetsIt(expression),
  }));
  expect(rules.length).toBeGreaterThan(40);
  const file = join(folder, 'dashboard.yaml');
  writeFileSync(file, stringify({ groups: [{ name: 'dashboard', rules }] }));
  expect(promtool('check', 'rules', file)).toContain(`${rules.length} rules found`);
});

test('panels of the dashboard have places of their own', () => {
  const panels = readDashboard()['panels'] as {
    id: number;
    title: string;
    gridPos: Record<'x' | 'y' | 'w' | 'h', number>;
  }[];
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
  const taken = new Map<string, string>();
  for (const { title, gridPos } of panels) {
    expect(title).not.toBe('');
    expect(gridPos.x + gridPos.w, title).toBeLessThanOrEqual(24);
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
        expect(taken.get(`${x} ${y}`), title).toBeUndefined();
        taken.set(`${x} ${y}`, title);
      }
    }
  }
});

describe('each fires when it has to, and only then', () => {
  test('there is a case for each', () => {
    expect(cases.map(({ alert }) => alert)).toEqual(alerts.map(({ alert }) => alert));
  });

  test('fires', () => {
    runUnits(
      cases.map(({ alert, at, fires, labels }) => {
        const rule = alerts.find((one) => one.alert === alert);
        const expected = { instance: 'g1', job: 'session-gateway', severity: rule?.labels.severity, ...labels };
        return unit(fires, { eval_time: at, alertname: alert, exp_alerts: [{ exp_labels: expected }] });
      }),
    );
  });

  test('does not', () => {
    runUnits(cases.map(({ alert, at, quiet }) => unit(quiet, { eval_time: at, alertname: alert, exp_alerts: [] })));
  });
});

function unit(series: string[][], alert: object): object {
  return {
    interval: '1m',
    input_series: series.map(([name, values]) => ({ series: name, values })),
    alert_rule_test: [alert],
  };
}

function runUnits(tests: object[]): void {
  // Summaries show values, which are promtool's to work out; whether an alert fires doesn't depend on them.
  const plain = join(folder, 'plain.yaml');
  const rules = alerts.map(({ annotations: _, ...rule }) => rule);
  writeFileSync(plain, stringify({ groups: [{ name: 'session-gateway', rules }] }));
  const file = join(folder, 'units.yaml');
  writeFileSync(file, stringify({ rule_files: [plain], evaluation_interval: '1m', tests }));
  expect(promtool('test', 'rules', file)).toContain('SUCCESS');
}

describe('runbooks', () => {
  const pages = readdirSync(RUNBOOKS);
  const textOf = (page: string): string => readFileSync(join(RUNBOOKS, page), 'utf8');

  test('every alert has a page, and every page an alert that leads to it', () => {
    const led = alerts.map(({ annotations }) => annotations.runbook);
    expect(new Set(led)).toEqual(new Set(pages.map((page) => `docs/runbooks/${page}`)));
  });

  test.each(pages)('%s names its alerts, and says the five things', (page) => {
    const text = textOf(page);
    const own = alerts.filter(({ annotations }) => annotations.runbook === `docs/runbooks/${page}`);
    const named = /^Alerts?: (.*)$/m.exec(text)?.[1] ?? '';
    expect(named).toBe(own.map(({ alert }) => `\`${alert}\``).join(', '));
    expect([...text.matchAll(/^## (.*)$/gm)].map(([, title]) => title)).toEqual(SECTIONS);
    expect(text.split(/^## .*$/m).every((section) => section.trim() !== '')).toBe(true);
  });

  test.each(pages)('the links in %s lead somewhere', (page) => {
    for (const [, target = ''] of textOf(page).matchAll(/\]\(([^)]+)\)/g)) {
      const [file = '', anchor] = target.split('#');
      const found = readFileSync(join(RUNBOOKS, file), 'utf8');
      const headings = [...found.matchAll(/^#+ (.*)$/gm)].map(([, title = '']) =>
        title
          .toLowerCase()
          .replaceAll(/[^a-z0-9 -]/g, '')
          .replaceAll(' ', '-'),
      );
      if (anchor !== undefined) expect(headings, target).toContain(anchor);
    }
  });

  test('every command of the gateway that they tell to run is one', () => {
    const help = execFileSync(`${ROOT}bin/gateway`, ['--help'], { encoding: 'utf8' });
    const commands = [...help.matchAll(/^ {2}([a-z][a-z-]*)/gm)].map(([, name]) => name);
    const told = pages.flatMap((page) => {
      const text = textOf(page);
      const blocks = [...text.matchAll(/^```sh\n(.*?)^```/gms)].map(([, block = '']) => block);
      const inLine = [...text.matchAll(/`([^`\n]+)`/g)].map(([, code = '']) => code);
      return [...blocks, ...inLine].flatMap((code) =>
        [...code.matchAll(/^gateway ([a-z][a-z-]+)/gm)].map(([, name]) => name),
      );
    });
    expect(told.length).toBeGreaterThan(20);
    expect(told.filter((name) => !commands.includes(name))).toEqual([]);
  });
});
