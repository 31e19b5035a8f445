# What this machine is, one fact a line: a name, a tab, a value. Run as `sh -s DIRECTORY`, DIRECTORY being where sandboxes
# are made. What cannot be found out is not said.
tab=$(printf '\t')
say() { [ -z "$2" ] || printf '%s%s%s\n' "$1" "$tab" "$2"; }
has() { command -v "$1" >/dev/null 2>&1; }
limit() { if has timeout; then timeout 10 "$@"; else "$@"; fi; }

say os "$(uname -s)"
say architecture "$(uname -m)"
[ ! -r /etc/os-release ] || say distribution "$(. /etc/os-release && printf %s "$PRETTY_NAME")"
say cores "$(getconf _NPROCESSORS_ONLN 2>/dev/null || nproc 2>/dev/null)"
[ ! -r /proc/meminfo ] || while read -r name value unit; do
  [ "$name" = MemTotal: ] && say memoryKiB "$value"
done </proc/meminfo

directory=$1
while [ ! -d "$directory" ] && [ "$directory" != . ]; do directory=$(dirname "$directory"); done
say diskKiB "$(df -Pk "$directory" 2>/dev/null | { read -r _ && read -r _ _ _ free _ && printf %s "$free"; })"

# The bus says how many there are; their driver says what they are.
if [ -d /sys/bus/pci/devices ]; then
  count=0
  for device in /sys/bus/pci/devices/*; do
    class=$(cat "$device/class" 2>/dev/null) vendor=$(cat "$device/vendor" 2>/dev/null)
    case $class/$vendor in 0x03*/0x10de | 0x03*/0x1002 | 0x12*/0x10de | 0x12*/0x1002) count=$((count + 1)) ;; esac
  done
  say gpusOnBus $count
fi
if has nvidia-smi; then
  limit nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader,nounits 2>/dev/null |
    while IFS=, read -r name vram driver; do
      say gpu "$name$tab${vram# }"
      say driver "${driver# }"
    done
  say cuda "$(limit nvidia-smi 2>/dev/null | sed -n 's/.*CUDA Version: *\([0-9.]*\).*/\1/p')"
fi

say pythons yes
for name in python3 python3.8 python3.9 python3.10 python3.11 python3.12 python3.13 python3.14 python3.15; do
  has $name && say python "$(limit $name -c 'import platform; print(platform.python_version())' 2>/dev/null)"
done
has docker && say docker "$(limit docker version --format '{{.Server.Version}}' 2>/dev/null)"
has conda && say conda "$(limit conda --version 2>/dev/null | sed 's/^conda //')"
page=https://pypi.org/simple/pip/
if has curl; then
  if curl -sfo /dev/null --max-time 8 $page; then say internet yes; else say internet no; fi
elif has wget; then
  if wget -q -T 8 -t 1 -O /dev/null $page; then say internet yes; else say internet no; fi
fi
exit 0
