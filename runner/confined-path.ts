import { posix } from 'node:path'

/**
 * Paths that must stay below one directory, whatever is done to it meanwhile: a script goes down part by part, asks the
 * kernel after each where it has come to, and works in the directory where it then is, so that nothing that is renamed or
 * linked afterwards leads it elsewhere. POSIX sh: busybox ash, dash, bash.
 */

/** What the scripts answer when a path leads out, or when the directory itself is no directory any more. */
export const confinementCodes = { outside: 58, rootMissing: 59 } as const

/** Beyond this a chain of links counts as one without an end, as the kernel has it. */
const mostLinks = 40

/**
 * Defines `inside`, `walk` and `settle`, and goes to the root. `walk PATH MAKE` goes to the directory of a path, making
 * what is missing if MAKE is not empty, and leaves its last part in `f`; `settle` follows links of that part. `cd -P` sets
 * PWD to what the kernel says, without a process of its own.
 */
const walking = `LC_ALL=C
[ -z "$RC_RAW" ] || { RC_PATH=$(printf '%b.' "$RC_RAW"); RC_PATH=\${RC_PATH%.}; }
outside() { exit ${confinementCodes.outside}; }
{ [ -d "$RC_ROOT" ] && [ ! -L "$RC_ROOT" ] && cd -P -- "$RC_ROOT"; } 2>/dev/null || exit ${confinementCodes.rootMissing}
top=\${PWD%/} links=0
inside() { case $PWD/ in "$top"/*) ;; *) outside ;; esac; }
walk() {
  rest=$1
  while :; do
    case $rest in
      */*) part=\${rest%%/*} rest=\${rest#*/} ;;
      *) break ;;
    esac
    [ -n "$part" ] || continue
    [ -z "$2" ] || [ -e "./$part" ] || [ -L "./$part" ] || mkdir "./$part" 2>/dev/null
    cd -P "./$part" 2>/dev/null || {
      [ ! -e "./$part" ] || { [ -d "./$part" ] && exit 46; exit 44; }
      [ -z "$2" ] || [ -L "./$part" ] || exit 46
      exit 44
    }
    inside
  done
  case $rest in
    '' | . | ..)
      cd -P "./$rest" 2>/dev/null || exit 46
      inside
      rest=.
      ;;
  esac
  f=./$rest
}
settle() {
  while [ -L "$f" ]; do
    links=$((links + 1))
    [ $links -le ${mostLinks} ] || exit 44
    to=$(readlink -n "$f" && echo .) || exit 44
    to=\${to%.}
    case $to in
      "$top" | "$top"/*) to=.\${to#"$top"} && cd -P "$top/" || exit 46 ;;
      /*) outside ;;
    esac
    walk "$to" "$1"
  done
}
`

/** Opens what `f` names on descriptor 3 and makes sure that it is a file below the root, by this name or another. */
const opening = `{ exec 3<"$f"; } 2>/dev/null || exit 46
at=$(readlink -n /proc/self/fd/3 && echo .) || exit 46
case $at in "$top"/*) ;; *) outside ;; esac
[ -f /proc/self/fd/3 ] || exit 47
set -- $(stat -L -c '%h %i' /proc/self/fd/3)
[ $# = 2 ] || exit 46
if [ -n "$top" ] && [ "$1" -gt 1 ]; then
  found=$(find "$top" -xdev -type f -inum "$2" -exec printf x ';' 2>/dev/null)
  [ "\${#found}" -ge "$1" ] || outside
fi
`

/** Scripts for paths below `RC_ROOT`; `RC_PATH` is relative to it. Each leaves the script in the file's directory. */
export const confined = {
  /** For a script of its own: `walk`, `settle`, `inside` and `outside` are there, and it is in the root, `$top`. */
  beginning: walking,
  /** `f` is the file's name. */
  toRead: `${walking}walk "$RC_PATH" ''
settle ''
`,
  /** To be put after what else is asked of the file: it is then open on descriptor 3. */
  open: opening,
  /** `f` is the file's name; its directories are there. */
  toWrite: `${walking}walk "$RC_PATH" make
settle make
`,
  /** The script is then in the directory itself. */
  toDirectory: `${walking}walk "$RC_PATH/" ''
`,
} as const

/** A path inside a sandbox; bytes for one that is no UTF-8. */
export type SandboxPath = string | Uint8Array

/** Variables that tell a script where a file is; undefined for a path that names something outside outright. */
export function belowRoot(root: string, path: SandboxPath): Record<string, string> | undefined {
  if (typeof path === 'string') {
    const below = relativeTo(root, path)
    return below === undefined ? undefined : { RC_ROOT: root, RC_PATH: below }
  }
  // One character for each byte, so that the same rules hold.
  const below = relativeTo(latin1(Buffer.from(root)), latin1(path))
  return below === undefined ? undefined : { RC_ROOT: root, RC_RAW: escaped(below) }
}

function relativeTo(root: string, path: string): string | undefined {
  if (!path.startsWith('/')) return path
  const [top, whole] = [posix.normalize(`${root}/`), posix.normalize(`${path}/`)]
  if (!whole.startsWith(top)) return undefined
  // As it was written: `a/../b` is not `b` where a is a link.
  return path.startsWith(top) ? path.slice(top.length) : whole.slice(top.length)
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1')
}

/** As `printf %b` takes it. */
function escaped(text: string): string {
  return [...Buffer.from(text, 'latin1')].map((byte) => `\\0${byte.toString(8).padStart(3, '0')}`).join('')
}
