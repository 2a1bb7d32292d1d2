/** Dashboard and alert rules as they are shipped, read. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));
export const ALERTS_FILE = `${ROOT}config/prometheus/alerts.yaml`;

export interface Alert {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly runbook: string };
}

export function readAlerts(): Alert[] {
  const { groups } = parse(readFileSync(ALERTS_FILE, 'utf8')) as { groups: { rules: Alert[] }[] };
  return groups.flatMap(({ rules }) => rules);
}

export function readDashboard(): Record<string, unknown> {
  return JSON.parse(readFileSync(`${ROOT}config/grafana/session-gateway.json`, 'utf8'));
}
