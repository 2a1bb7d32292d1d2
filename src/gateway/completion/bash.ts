/**
 * The completion of the command line for bash (bash(1), "Programmable Completion"); needs no package beside it. Imported by
 * src/gateway/commands/completion.ts.
 */
import type { CompletedCommand, ValueKind } from './tree.ts';

const kindText = (kind: ValueKind): string => (typeof kind === 'string' ? `<${kind}>` : kind.join(','));

export function bashScript(commands: readonly CompletedCommand[]): string {
  const cases = commands.map(({ path, commands: below, options, values }) => {
    const flags = options.flatMap((option) => option.flags);
    const taking = options.flatMap(({ flags: names, value }) =>
      value === null ? [] : names.map((name) => `${name}=${kindText(value)}`),
    );
    return `	'${path.join(' ')}')
		commands='${below.map(({ name }) => name).join(' ')}'
		options='${flags.join(' ')}'
		taking='${taking.join(' ')}'
		values='${values.map(kindText).join(' ')}'
		;;`;
  });
  return `# Completion of "gateway" for bash, made by "gateway completion bash".

# What may follow a command: other commands, options, options that take a value and which, values.
_gateway_allows() {
	case $1 in
${cases.join('\n')}
	esac
}

_gateway() {
	local current=\${COMP_WORDS[COMP_CWORD]} path=gateway kind= config= word pair
	local -i i position=0
	local commands options taking values
	COMPREPLY=()
	_gateway_allows "$path"
	for ((i = 1; i < COMP_CWORD; i++)); do
		word=\${COMP_WORDS[i]}
		kind=
		case " $commands " in
		*" $word "*)
			path="$path $word"
			_gateway_allows "$path"
			continue
			;;
		esac
		case $word in
		-*)
			for pair in $taking; do
				[ "\${pair%%=*}" = "$word" ] || continue
				kind=\${pair#*=}
				i+=1
				# As one word, bash makes three of --config=FILE.
				[ "\${COMP_WORDS[i]}" != = ] || i+=1
				case $word in
				-c | --config) config=\${COMP_WORDS[i]} ;;
				esac
			done
			;;
		*) position+=1 ;;
		esac
	done
	if ((i == COMP_CWORD)); then
		kind=
		if [[ $current == -* ]]; then
			mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
			return
		fi
		if [ -n "$commands" ]; then
			mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$current")
			return
		fi
		local -a kinds=($values)
		kind=\${kinds[position]-}
	fi
	[ "$current" != = ] || current=
	case $kind in
	'' | '<value>') ;;
	'<file>')
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$current")
		;;
	'<backend>')
		while IFS= read -r word; do
			[[ $word != "$current"* ]] || COMPREPLY+=("$word")
		done < <("\${COMP_WORDS[0]}" complete-backends \${config:+-c "$config"} 2>/dev/null)
		;;
	*) mapfile -t COMPREPLY < <(compgen -W "\${kind//,/ }" -- "$current") ;;
	esac
}

complete -F _gateway gateway
`;
}
