import type { StoredOpening } from '../store/records.ts'

/**
 * Run by an agent's own user before the agent is there: says `bound` where that user neither becomes root by `sudo` nor
 * can put programs where commands of others are looked for. Rollcall's commands and the tests have the same PATH.
 */
export const agentFreedomScript = `
if sudo -n true </dev/null >/dev/null 2>&1; then echo root; exit; fi
case :$PATH: in *::*) echo relative; exit ;; esac
set -f
IFS=:
for folder in $PATH; do
  case $folder in
    /*) ;;
    *) echo relative; exit ;;
  esac
  while [ -n "$folder" ]; do
    if [ -w "$folder" ]; then echo "$folder"; exit; fi
    folder=\${folder%/*}
  done
done
if [ -w / ]; then echo /; exit; fi
echo bound
`

export const agentFreedomTimeoutMs = 10_000

/**
 * Neither root nor the verifier's user, who owns the reward's folder, in this step and those before it; nor free to become
 * root.
 */
export function agentIsBound(opening: Pick<StoredOpening, 'users' | 'stepUsers'> | undefined, step = 0): boolean {
  const users = opening?.stepUsers?.slice(0, step + 1) ?? [opening?.users]
  const verifier = users.at(-1)?.verifier
  if (verifier === undefined || users.some((user) => user?.isFree)) return false
  // By number, since one user can have several names.
  return users.every((user) => user?.agent !== undefined && user.agent !== 0 && user.agent !== verifier)
}

export function isBoundUser(printed: string): boolean {
  return printed.trim() === 'bound'
}
