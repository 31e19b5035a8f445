#!/bin/bash
# Rewards: `valid` and `errors` are the shares of valid and of wrong expressions that are answered rightly; `reward` is
# 1 only when both are 1. Operands are drawn here, so that no table of answers helps.
stderr=$(mktemp)
rpn() { timeout 5 /app/rpn "$1" 2> "$stderr" < /dev/null; }
draw() { echo $((RANDOM % 999 + 1)); }

valid=0 valid_total=0
expect() { # expression, value
  valid_total=$((valid_total + 1))
  local out code
  out=$(rpn "$1"); code=$?
  if [ "$code" -eq 0 ] && [ "$out" = "$2" ]; then valid=$((valid + 1)); else echo "FAILED $1 = $2: [$out] exit $code"; fi
}
for _ in 1 2 3 4; do
  a=$(draw) b=$(draw) c=$(draw) d=$(draw)
  expect "$a" "$a"
  expect "$a $b + $c *" $(((a + b) * c))
  expect "$a $b $c - -" $((a - (b - c)))
  expect "-$a $b /" $((-a / b))
  expect "-$a $b %" $((-a % b))
  expect "$a dup * $b swap -" $((b - a * a))
  expect "$a $b $c $d * + %" $((a % (b + c * d)))
  expect "  $a   $b  swap - " $((b - a))
  expect "0$a -$b *" $((a * -b))
done

errors=0 errors_total=0
refuse() { # expression
  errors_total=$((errors_total + 1))
  local out code
  out=$(rpn "$1"); code=$?
  if [ "$code" -eq 1 ] && [ -z "$out" ] && [ "$(wc -l < "$stderr")" -eq 1 ] && grep -q '^error:' "$stderr"; then
    errors=$((errors + 1))
  else
    echo "NOT REFUSED $1: [$out] exit $code"
  fi
}
cd /
for wrong in '' '+' "$(draw) +" "$(draw) $(draw)" "$(draw) 0 /" "$(draw) 0 %" "$(draw) two +" 'dup' "$(draw) swap" \
  "$(draw) $(draw) ^" "1.5 2 +" '1 2 + *' '--3'; do
  refuse "$wrong"
done

share() { awk -v part="$1" -v all="$2" 'BEGIN { printf "%.4f", part / all }'; }
reward=0
[ "$valid" -eq "$valid_total" ] && [ "$errors" -eq "$errors_total" ] && reward=1
mkdir -p /logs/verifier
printf '{"reward": %d, "valid": %s, "errors": %s}\n' "$reward" "$(share "$valid" "$valid_total")" \
  "$(share "$errors" "$errors_total")" > /logs/verifier/reward.json
