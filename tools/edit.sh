# One change of a file by edit_file, or its undoing: RC_OP (write, undo), RC_PATH, RC_ID; new content on stdin. Put after
# session/place.sh. What was there before is kept beside: N, or N.none where there was no file, and N.after, the checksum of
# what the change left. Exits: 44 no such file, 45 a directory, 46 may not be written, 47 not a regular file, 48 there is
# nothing to undo, 49 the file has been changed since.
# Below a root (runner/confined-path.ts) the script is in the file's directory already, and f is its name there.
if [ -z "$RC_ROOT" ]; then
  f=$RC_PATH
  case $f in /*) ;; *) f=$PWD/${f#./} ;; esac
  if [ -L "$f" ]; then
    f=$(readlink -f -- "$f" && echo /) || exit 44
    f=${f%??}
  fi
fi
[ ! -d "$f" ] || exit 45
[ ! -e "$f" ] || [ -f "$f" ] || exit 47
d=${f%/*}
[ -n "$d" ] || d=/

# put: stdin becomes the file's content, whole or not at all; newly made or with mode and owner as before. Who may write a
# file but not own one like it writes in place.
put() {
  [ -w "$d" ] || [ -w "$f" ] || exit 46
  t=$d/.rollcall-$RC_ID
  trap 'rm -f "$t"' EXIT
  if [ ! -e "$f" ]; then
    cat >"$t" && mv "$t" "$f"
    return
  fi
  [ -w "$f" ] || exit 46
  if [ -w "$d" ] && cp -p "$f" "$t" && [ "$(owner "$t")" = "$(owner "$f")" ]; then
    cat >"$t" && mv "$t" "$f"
  else
    rm -f "$t"
    # Below a root nothing is written through a name that may have become a link.
    [ -z "$RC_ROOT" ] || exit 46
    t=$_D/put
    cat >"$t" && cat "$t" >"$f"
  fi
}
owner() {
  set -- $(LC_ALL=C ls -nd -- "$1")
  echo "$3:$4"
}

# sum: a checksum of stdin, by whatever the image has for it
for _sum in cksum sha256sum md5sum; do
  command -v $_sum >/dev/null && break
done
sum() { $_sum | tr -c '0-9a-f\n' -; }

_um=$(umask)
umask 077
case $f in /*) _D=$_D/$(printf %s "$f" | sum) ;; *) _D=$_D/$(printf %s "$PWD/${f#./}" | sum) ;; esac
mkdir -p "$_D" || exit
n=0
while [ -e "$_D/$((n + 1)).after" ]; do n=$((n + 1)); done

if [ "$RC_OP" = undo ]; then
  [ $n != 0 ] || exit 48
  [ "$(sum <"$f")" = "$(cat "$_D/$n.after")" ] || exit 49
  if [ -e "$_D/$n.none" ]; then rm -f "$f"; else put <"$_D/$n"; fi || exit
  rm -f "$_D/$n" "$_D/$n.none" "$_D/$n.after"
  exit
fi
n=$((n + 1))
rm -f "$_D/$n" "$_D/$n.none"
if [ -e "$f" ]; then cat "$f" >"$_D/$n" || exit 46; else : >"$_D/$n.none"; fi
umask "$_um"
mkdir -p "$d" 2>/dev/null || exit 46
put || exit
sum <"$f" >"$_D/$n.after"
