#!/bin/bash
set -eu
cd /app/site
shopt -s globstar dotglob nullglob
for path in **/*; do
  case "$path" in *~ | *.bak) [ -f "$path" ] && rm -- "$path" ;; esac
done
chmod 755 .
for path in **/*; do
  case "$path" in
    private | private/*) if [ -d "$path" ]; then chmod 700 -- "$path"; else chmod 600 -- "$path"; fi ;;
    *)
      if [ -d "$path" ]; then chmod 755 -- "$path"
      elif [[ "$path" == bin/* ]] && [ "$(head -c 2 -- "$path")" = '#!' ]; then chmod 755 -- "$path"
      else chmod 644 -- "$path"; fi
      ;;
  esac
done
ln -s public current
