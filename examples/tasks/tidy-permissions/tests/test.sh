#!/bin/bash
# 1 when modes, links and contents of the site are as the manifest says, else 0.
manifest() {
  cd /app/site || return
  shopt -s globstar dotglob nullglob
  for path in . **/*; do
    if [ -L "$path" ]; then echo "link $path -> $(readlink -- "$path")"
    elif [ -d "$path" ]; then echo "directory $(stat -c %a -- "$path") $path"
    else echo "file $(stat -c %a -- "$path") $path $(sha256sum < "$path" | cut -c 1-16)"; fi
  done | LC_ALL=C sort
}
reward=0
found=$(manifest 2>&1)
diff /tests/expected-manifest.txt - <<< "$found" && reward=1
mkdir -p /logs/verifier
echo "$reward" > /logs/verifier/reward.txt
