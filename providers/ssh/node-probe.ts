import { machineSettings, systemDirectories, systemSettings } from '../host-sandbox/host-system.ts'
import type { Bind, HostSystem } from '../host-sandbox/host-system.ts'

/** What a node says of itself. */
export interface NodeProbe {
  /** Absolute path of the directory of all sandboxes, without links. */
  readonly home: string
  /** A random id that was made with the directory. */
  readonly place: string
  readonly isRoot: boolean
  /** Why sandboxes cannot be made there; empty when they can. */
  readonly missing: readonly string[]
  readonly system: HostSystem
}

/**
 * A script for `/bin/sh` on a node's standard input: makes the workspace, puts the programs there, and says what the
 * node is, one fact a line, words parted by tabs. Run twice, also at the same time, it does the same.
 */
export function bootstrapScript(at: {
  workspace: string
  programsDirectory: string
  programs: Readonly<Record<string, string>>
}): string {
  const files = Object.entries(at.programs).map(
    ([name, text]) => `cat >"$making/${name}" <<'ROLLCALL_END'\n${text}ROLLCALL_END\n`,
  )
  return `exec 2>&1
umask 077
mkdir -p ${at.workspace} && cd ${at.workspace} && home=$(pwd -P) || exit 74
if [ ! -d ${at.programsDirectory} ]; then
making=$(mktemp -d "$home/.making-XXXXXXXX") || exit 74
${files.join('')}mv -T "$making" ${at.programsDirectory} 2>/dev/null || rm -rf "$making"
fi
if [ ! -s .place ]; then
making=$(mktemp "$home/.making-XXXXXXXX") || exit 74
cat /proc/sys/kernel/random/uuid >"$making"
ln "$making" .place 2>/dev/null
rm -f "$making"
fi
tab=$(printf '\\t')
say() { IFS=$tab; printf '%s\\n' "$*"; unset IFS; }
say home "$home"
say place "$(cat .place)"
say uid "$(id -u)"
name=Linux
[ ! -r /etc/os-release ] || name=$(. /etc/os-release; printf %s "\${PRETTY_NAME:-Linux}")
say name "$name"
for one in ${systemDirectories.join(' ')}; do
  if [ -L "/$one" ]; then say link "/$one" "$(readlink "/$one")"
  elif [ -d "/$one" ]; then say bind "/$one" "/$one"
  fi
done
for one in ${systemSettings.join(' ')}; do
  [ ! -e "/etc/$one" ] || say bind "$(readlink -f "/etc/$one")" "/etc/$one"
done
[ ! -e /etc/resolv.conf ] || say resolver "$(readlink -f /etc/resolv.conf)"
for one in ${machineSettings.join(' ')}; do
  [ ! -e "/proc/$one" ] || say proc "$one"
done
for one in flock setsid tar mkfifo timeout bwrap; do
  command -v $one >/dev/null || say missing "$one"
done
if command -v bwrap >/dev/null; then
  ${trial('unshare --mount -- ', '[ "$(id -u)" = 0 ]')}
  ${trial('', '[ "$(id -u)" != 0 ]')}
fi
exit 0
`
}

/** Really tries it: a program that is installed is not yet allowed to make namespaces. */
function trial(prefix: string, condition: string): string {
  const command = `${prefix}bwrap --unshare-user --unshare-pid --unshare-net --ro-bind / / -- true`
  return `if ${condition}; then why=$(${command} 2>&1) || say missing "bubblewrap that works ($why)"; fi`
}

export function readProbe(text: string): NodeProbe {
  const facts = text.split('\n').map((line) => line.split('\t'))
  const all = (kind: string): string[][] => facts.filter(([word]) => word === kind).map(([, ...words]) => words)
  const one = (kind: string): string => all(kind)[0]?.[0] ?? ''
  return {
    home: one('home'),
    place: one('place'),
    isRoot: one('uid') === '0',
    missing: all('missing').map((words) => words.join(' ')),
    system: {
      name: one('name'),
      binds: all('bind').map(([source = '', target = '']) => readOnly(source, target)),
      links: all('link').map(([path = '', to = '']) => ({ path, to })),
      resolver: all('resolver').map(([source = '']) => readOnly(source, '/etc/resolv.conf')),
      machineSettings: all('proc').map(([name = '']) => name),
    },
  }
}

function readOnly(source: string, target: string): Bind {
  return { source, target, readOnly: true }
}
