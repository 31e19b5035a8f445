import { slotUser, slotWorkspace } from '../protocol/names.ts'
import type { Profile } from '../protocol/pool.ts'

/** What is done as root in a sandbox to make its slots and to reset them: POSIX sh, no programs but those of any image. */

/** Where a user may leave files behind besides its own folder. */
const sharedFolders = '/tmp/ /var/tmp/ /dev/shm/ /run/lock/ /var/lock/ /dev/mqueue/'

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}

/**
 * Makes the workspaces, and the users where slots have their own. Again is fine. Entries in /etc/passwd, since a switch
 * by `su` wants a name, and programs a home.
 */
export function makeSlotsScript(profile: Profile): string {
  const slots = Array.from({ length: profile.slotsPerSandbox }, (_, slot) => slot)
  const make = profile.slotUser === 'own' ? slots.map((slot) => makeOwnSlot(profile, slot)) : [makeOpenSlot(profile)]
  return [`umask 022; mkdir -p ${quote(profile.workspaceBase)} || exit`, ...make].join('\n')
}

function makeOwnSlot({ workspaceBase }: Profile, slot: number): string {
  const { name, uid } = slotUser(slot)
  const folder = quote(slotWorkspace(workspaceBase, slot))
  const user = `${name}:x:${uid}:${uid}::${slotWorkspace(workspaceBase, slot)}:/bin/sh`
  return `taken=
while IFS=: read -r name rest uid rest; do
  [ "$name" = ${name} ] && taken=own
  [ "$uid" = ${uid} ] && [ "$name" != ${name} ] && echo "the image has a user ${uid}, $name: no slot can be that" >&2 && exit 1
done </etc/passwd
if [ -z "$taken" ]; then
  printf '%s\\n' ${quote(user)} >>/etc/passwd && printf '%s\\n' ${name}:x:${uid}: >>/etc/group || exit
fi
mkdir -p ${folder} && chown ${uid}:${uid} ${folder} && chmod 700 ${folder} || exit`
}

/** Of the sandbox's own user, who is not asked for: there is nobody else in it. */
function makeOpenSlot({ workspaceBase }: Profile): string {
  const folder = quote(slotWorkspace(workspaceBase, 0))
  return `mkdir -p ${folder} && chmod 777 ${folder}`
}

/**
 * As the slot's user, so that nothing is removed that is not its own, whatever its neighbours put in the way: ends all its
 * processes at once (the kernel spares who asks), then removes its files from the folders that all share.
 */
export function leaveSharedScript(slot: number): string {
  return `kill -9 -1 2>/dev/null
find ${sharedFolders} -xdev -depth -user ${slotUser(slot).uid} -exec rm -rf -- {} + 2>/dev/null
:`
}

/**
 * As root: no process of these slots lives, their workspaces are new, nothing of theirs is left in the shared folders; else
 * it fails and says what is left. Only root can put another file in the place of a workspace, so nothing is followed. As
 * few processes as can be: starting one takes longer than what it does.
 */
export function emptySlotsScript(workspaceBase: string, slots: readonly number[]): string {
  const folders = slots.map((slot) => quote(slotWorkspace(workspaceBase, slot)))
  const users = slots.map((slot) => slotUser(slot).uid)
  const owned = slots.map((_, index) => `chown ${users[index]}:${users[index]} ${folders[index]} || exit`)
  return `${processesScript(slots)}
rm -rf -- ${folders.join(' ')}
for folder in ${folders.join(' ')}; do
  [ ! -e "$folder" ] && [ ! -L "$folder" ] || { echo "$folder cannot be removed" >&2; exit 1; }
done
mkdir -m 700 ${folders.join(' ')} || exit
${owned.join('\n')}
left=$(find ${sharedFolders} -xdev '(' ${users.map((uid) => `-user ${uid}`).join(' -o ')} ')' 2>/dev/null | head -n 1)
[ -z "$left" ] || { echo "$left was left by a slot" >&2; exit 1; }`
}

/** Who has been killed may take a moment; a process that only waits to be reaped is none. */
function processesScript(slots: readonly number[]): string {
  const uids = slots.map((slot) => slotUser(slot).uid).join(' | ')
  return `round=0
while :; do
  left=
  for status in /proc/[0-9]*/status; do
    zombie= ids=
    while read -r key first second third fourth; do
      case $key in
        State:) [ "$first" = Z ] && zombie=1 ;;
        Uid:) ids="$first $second $third $fourth"; break ;;
      esac
    done <"$status" 2>/dev/null
    [ -z "$zombie" ] || continue
    for id in $ids; do
      case $id in ${uids})
        pid=\${status#/proc/}
        left=\${pid%/status}
        kill -9 "$left" 2>/dev/null
        break ;;
      esac
    done
  done
  [ -n "$left" ] || break
  round=$((round + 1))
  [ $round -lt 100 ] || { echo "process $left of a slot does not end" >&2; exit 1; }
  sleep 0.02
done`
}
