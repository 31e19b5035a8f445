#!/bin/bash
set -eu
cat > /app/rpn <<'PROGRAM'
#!/bin/bash
set -f
stack=()
fail() { echo "error: $1" >&2; exit 1; }
need() { [ "${#stack[@]}" -ge "$1" ] || fail "$token needs $1 values"; }
pop() { top=${stack[-1]}; unset 'stack[-1]'; }
for token in ${1-}; do
  case "$token" in
    + | - | '*' | / | %)
      need 2
      pop; b=$top; pop; a=$top
      case "$token" in / | %) [ "$b" -ne 0 ] || fail 'division by zero' ;; esac
      stack+=($((a $token b)))
      ;;
    dup) need 1; stack+=("${stack[-1]}") ;;
    swap) need 2; pop; b=$top; pop; a=$top; stack+=("$b" "$a") ;;
    *)
      [[ "$token" =~ ^(-?)0*([0-9]+)$ ]] || fail "unknown token $token"
      stack+=("${BASH_REMATCH[1]}${BASH_REMATCH[2]}")
      ;;
  esac
done
[ "${#stack[@]}" -eq 1 ] || fail "${#stack[@]} values are left"
echo "$((stack[0]))"
PROGRAM
chmod 755 /app/rpn
