/**
 * The completion of the command line for zsh (zshcompsys(1)). Imported by src/gateway/commands/completion.ts.
 */
import type { CompletedCommand, ValueKind } from './tree.ts';

/** A word in single quotes. */
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
/** The part of a specification of _arguments that ends at a bracket or colon. */
const plain = (text: string): string => text.replaceAll(/[[\]:\\]/g, (character) => `\\${character}`);

function actionOf(kind: ValueKind): string {
  if (kind === 'file') return 'file:_files';
  if (kind === 'backend') return 'backend:__gateway_backend_names';
  return kind === 'value' ? 'value: ' : `value:(${kind.join(' ')})`;
}

export function zshScript(commands: readonly CompletedCommand[]): string {
  const functions = commands.map(({ path, commands: below, options, values }) => {
    const specifications = options.flatMap(({ flags, description, value }) =>
      flags.map((flag) => `*${flag}[${plain(description)}]${value === null ? '' : `:${actionOf(value)}`}`),
    );
    const places =
      below.length > 0 ? ['1: :->command', '*:: :->below'] : values.map((kind, i) => `${i + 1}:${actionOf(kind)}`);
    const name = functionName(path);
    const choose = `	case $state in
	command)
		local -a commands=(
${below.map((one) => `			${quoted(`${one.name}:${one.description}`)}`).join('\n')}
		)
		_describe command commands
		;;
	below)
		case $words[1] in
${below.map((one) => `		${one.name}) ${functionName([...path, one.name])} ;;`).join('\n')}
		esac
		;;
	esac
`;
    return `${name}() {
	local curcontext=$curcontext state line
	typeset -A opt_args
	_arguments -C ${[...specifications, ...places].map((one) => `\\\n\t\t${quoted(one)}`).join(' ')}
${below.length > 0 ? choose : ''}}
`;
  });
  return `#compdef gateway
# Completion of "gateway" for zsh, made by "gateway completion zsh".

__gateway_backend_names() {
	local -a names=(\${(f)"$($_gateway_program complete-backends \${opt_args[-c]:+-c \${opt_args[-c]}} \${opt_args[--config]:+-c \${opt_args[--config]}} 2>/dev/null)"})
	compadd -a names
}

${functions.join('\n')}
_gateway_complete() {
	local _gateway_program=$words[1]
	_gateway
}

# Loaded from a folder of completions, this is called already; else it is to be.
if [ "$funcstack[1]" = _gateway ]; then
	_gateway_complete
else
	compdef _gateway_complete gateway
fi
`;
}

function functionName(path: readonly string[]): string {
  return `_${path.join('_').replaceAll('-', '_')}`;
}
