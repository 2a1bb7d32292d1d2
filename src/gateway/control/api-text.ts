/**
 * The description of the control API as a document for people, made from what openapi.ts makes of the routes and their schemas.
 * Imported by scripts/generate-api.ts and tests.
 */

/** Of a JSON Schema what the schemas of this API use. */
interface Schema {
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly format?: string;
  readonly description?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly additionalProperties?: boolean | Schema;
}

interface Content {
  readonly content?: Readonly<Record<string, { readonly schema: Schema }>>;
}

interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly schema: Schema;
}

interface Operation {
  readonly summary: string;
  readonly description?: string;
  readonly security?: readonly object[];
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: Content & { readonly required?: boolean };
  readonly responses: Readonly<Record<string, Content & { readonly description: string }>>;
}

export interface Described {
  readonly info: { readonly title: string; readonly description: string };
  readonly paths: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

const HEAD = `# Control API

Generated from the schemas that check the requests and write the answers; \`npm run generate\` makes it anew. The daemon serves the same as OpenAPI 3.1 at
\`GET /openapi.json\`. It is reached over the Unix socket \`control.socket\`, and over TCP where \`control.http\` is set, there with
\`Authorization: Bearer TOKEN\`. Errors are problem+json (RFC 9457); [their codes](errors.md). Names and session ids in paths are percent-encoded.

\`\`\`sh
curl --unix-socket /run/session-gateway/gateway.sock http://gateway/v1/status
\`\`\`
`;

export function apiText({ paths }: Described): string {
  return [HEAD, ...Object.entries(paths).map(([path, item]) => pathText(path, item))].join('\n');
}

function pathText(path: string, { parameters = [], ...operations }: Readonly<Record<string, unknown>>): string {
  const shared = parameters as readonly Parameter[];
  return Object.entries(operations)
    .map(([method, operation]) => operationText(method.toUpperCase(), path, shared, operation as Operation))
    .join('\n');
}

function operationText(method: string, path: string, shared: readonly Parameter[], operation: Operation): string {
  const { summary, description, security, parameters = [], requestBody, responses } = operation;
  const lines = [`## ${method} ${path}`, '', summary];
  if (description !== undefined) lines.push('', description);
  if (security?.length === 0) lines.push('', 'Needs no token.');
  const rows = [...shared, ...parameters].map(
    ({ name, in: place, schema }) => `| \`${name}\` | ${place} | ${schemaText(schema)} |`,
  );
  if (rows.length > 0) lines.push('', '| parameter | in | |', '|---|---|---|', ...rows);
  if (requestBody !== undefined) {
    lines.push(
      '',
      requestBody.required === false ? 'Body, which may be left out:' : 'Body:',
      '',
      ...contentText(requestBody),
    );
  }
  for (const [status, answer] of Object.entries(responses)) {
    if (status === 'default') continue;
    const content = contentText(answer);
    lines.push('', content.length === 0 ? `Answer: ${status}, without a body.` : `Answer: ${status}.`);
    if (content.length > 0) lines.push('', ...content);
  }
  return `${lines.join('\n')}\n`;
}

function contentText({ content = {} }: Content): string[] {
  return Object.entries(content).flatMap(([type, { schema }]) => {
    if (type !== 'application/json') return [`\`${type}\``];
    return ['| field | |', '|---|---|', ...fieldRows(schema, '')];
  });
}

/** A row for each field, of objects in objects and lists too; nothing is left to be looked up elsewhere. */
function fieldRows(schema: Schema, prefix: string): string[] {
  const rows: string[] = [];
  for (const [name, field] of Object.entries(schema.properties ?? {})) {
    const isOptional = schema.required?.includes(name) !== true;
    const path = `${prefix}${name}`;
    const meaning = field.description === undefined ? '' : `. ${field.description}`;
    rows.push(`| \`${path}\` | ${schemaText(field)}${isOptional ? '; may be left out' : ''}${meaning} |`);
    if (field.properties !== undefined) rows.push(...fieldRows(field, `${path}.`));
    if (field.items?.properties !== undefined) rows.push(...fieldRows(field.items, `${path}[].`));
  }
  return rows;
}

/** integer, 1 to 65535; text or null; one of `a`, `b`; list of text */
function schemaText(schema: Schema): string {
  if (schema.enum !== undefined) return `one of ${schema.enum.map((value) => `\`${String(value)}\``).join(', ')}`;
  const types = [schema.type ?? 'anything'].flat().map((type) => typeText(type, schema));
  return `${types.join(' or ')}${boundsText(schema)}`;
}

function typeText(type: string, { items, additionalProperties, format }: Schema): string {
  switch (type) {
    case 'string':
      return format === 'date-time' ? 'text, RFC 3339' : 'text';
    case 'array':
      return `list of ${items === undefined ? 'anything' : schemaText(items)}`;
    case 'object':
      return typeof additionalProperties === 'object'
        ? `object: by name, ${schemaText(additionalProperties)}`
        : 'object';
    default:
      return type;
  }
}

function boundsText({ minimum, maximum, minLength, maxLength }: Schema): string {
  if (maximum !== undefined) return `, ${minimum ?? 0} to ${maximum}`;
  // That a count isn't below zero goes without saying.
  if (minimum !== undefined && minimum > 0) return `, at least ${minimum}`;
  if (maxLength !== undefined) return `, ${minLength ?? 0} to ${maxLength} characters`;
  return '';
}
