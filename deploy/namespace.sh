#!/bin/sh
# Creates the namespace and the search attributes that Rollcall uses; safe to run again at any time.
# TEMPORAL_ADDRESS says where; TEMPORAL_NAMESPACE is "default" and RETENTION 168h unless set.
set -eu

namespace=${TEMPORAL_NAMESPACE:-default}
retention=${RETENTION:-168h}

remaining=60
until temporal operator cluster health >/dev/null 2>&1; do
  remaining=$((remaining - 1))
  if [ "$remaining" -eq 0 ]; then
    echo "no Temporal server answers at $TEMPORAL_ADDRESS:" >&2
    temporal operator cluster health
    exit 1
  fi
  sleep 1
done

if temporal operator namespace describe --namespace "$namespace" >/dev/null 2>&1; then
  temporal operator namespace update --namespace "$namespace" --retention "$retention"
  echo "namespace $namespace: exists, histories are kept for $retention"
else
  temporal operator namespace create --namespace "$namespace" --retention "$retention"
  echo "namespace $namespace: created, histories are kept for $retention"
fi

# Each server process learns of a new namespace within seconds, so the first calls after its creation may fail.
register() {
  remaining=30
  until temporal operator search-attribute create --namespace "$namespace" --name "$1" --type "$2" >/dev/null 2>&1; do
    if temporal operator search-attribute list --namespace "$namespace" 2>/dev/null | grep -qw "$1"; then
      break
    fi
    remaining=$((remaining - 1))
    if [ "$remaining" -eq 0 ]; then
      echo "search attribute $1 of type $2 cannot be created:" >&2
      temporal operator search-attribute create --namespace "$namespace" --name "$1" --type "$2"
      exit 1
    fi
    sleep 1
  done
  echo "search attribute $1: $2"
}

# protocol/names.ts has the same list; a test holds the two together.
register RollcallJob Keyword
register RollcallTask Keyword
register RollcallAgent Keyword
register RollcallProvider Keyword
register RollcallState Keyword
register RollcallReward Double
register RollcallSchedule Keyword
register RollcallVerdict Keyword
echo 'the namespace is ready'
