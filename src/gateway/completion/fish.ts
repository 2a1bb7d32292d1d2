/**
 * The completion of the command line for fish (fish's documentation, "complete"). Imported by src/gateway/commands/completion.ts.
 */
import type { CompletedCommand, ValueKind } from './tree.ts';

/** A word in single quotes, in which fish has two escapes. */
const quoted = (text: string): string => `'${text.replaceAll(/[\\']/g, (character) => `\\${character}`)}'`;

function argumentsOf(kind: ValueKind): string {
  if (kind === 'file') return '-r -F';
  if (kind === 'backend') return "-x -a '(__gateway_backends)'";
  return kind === 'value' ? '-x' : `-x -a ${quoted(kind.join(' '))}`;
}

export function fishScript(commands: readonly CompletedCommand[]): string {
  const groups = commands.filter(({ commands: below }) => below.length > 0).map(({ path }) => path.slice(1).join(' '));
  const lines = commands.flatMap(({ path, commands: below, options, values }) => {
    const at = `complete -c gateway -n ${quoted(`__gateway_at ${path.slice(1).join(' ')}`)}`;
    return [
      ...below.map(({ name, description }) => `${at} -f -a ${name} -d ${quoted(description)}`),
      ...options.map(({ flags, description, value }) => {
        const names = flags.map((flag) => (flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`));
        return `${at} ${names.join(' ')} ${value === null ? '' : `${argumentsOf(value)} `}-d ${quoted(description)}`;
      }),
      ...values.filter((kind) => kind !== 'value').map((kind) => `${at} ${argumentsOf(kind).replace(/^-x/, '-f')}`),
    ];
  });
  return `# Completion of "gateway" for fish, made by "gateway completion fish".

# Whether the words so far lead to this command.
function __gateway_at
    set -l path
    set -l words (commandline -opc)
    for word in $words[2..]
        switch $word
            case '-*'
            case '*'
                # Behind a command that has no commands, words are values.
                if contains -- "$path" ${groups.map(quoted).join(' ')}
                    set -a path $word
                end
        end
    end
    test "$path" = "$argv"
end

function __gateway_backends
    set -l words (commandline -opc)
    set -l config
    for i in (seq (count $words))
        if contains -- $words[$i] -c --config; and test $i -lt (count $words)
            set config -c $words[(math $i + 1)]
        end
    end
    $words[1] complete-backends $config 2>/dev/null
end

complete -c gateway -f
${lines.join('\n')}
`;
}
