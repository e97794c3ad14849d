#!/usr/bin/env bash
# A Slurm of one node on loopback, for as long as one command runs: nothing outside a folder of its own is touched.
#
#   tests/slurm/one_node.sh SECONDS COMMAND [ARGUMENT...]
#
# The command finds SLURM_CONF set; the exit status is its own, 124 if it ran out of SECONDS, 69 if Slurm would not
# start (its logs are shown), 127 if Slurm is not installed. Whatever becomes of this script, its daemons end after
# SECONDS and a minute. Needs slurmctld, slurmd, sbatch, srun and munged (Debian: slurm-wlm munge), not root.
set -euo pipefail
export PATH=$PATH:/usr/sbin:/sbin
life=$1; shift
for needed in munged slurmctld slurmd sbatch srun squeue scancel; do
  command -v "$needed" >/dev/null || { echo "no $needed: install slurm-wlm and munge" >&2; exit 127; }
done

d=$(mktemp -d -t one-node.XXXXXX) # $TMPDIR must be short: a socket's path has 107 bytes at most
chmod 755 "$d"
mkdir "$d/state" "$d/spool"
host=$(hostname -s)
user=$(id -un)
started=()

stop() {
  set +e
  trap '' INT TERM
  [ -s "$d/slurm.conf" ] && scancel --user "$user" --signal KILL --full 2>/dev/null
  for ((k = ${#started[@]} - 1; k >= 0; k--)); do # the last started ends first
    kill "${started[k]}" 2>/dev/null
    wait "${started[k]}" 2>/dev/null
  done
  [ -n "${ONE_NODE_LOGS:-}" ] && mkdir -p "$ONE_NODE_LOGS" && cp "$d"/*.log "$d/slurm.conf" "$ONE_NODE_LOGS"
  rm -rf "$d"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

daemon() { # NAME COMMAND...
  local log=$d/$1.log
  shift
  timeout --kill-after=10 $((life + 60)) "$@" >"$log" 2>&1 </dev/null &
  started+=($!)
}

await() { # COMMAND...: until it succeeds, half a minute at most
  for _ in $(seq 150); do
    "$@" >/dev/null 2>&1 && return
    sleep 0.2
  done
  echo "Slurm did not start; waited for: $*" >&2
  tail -n 20 "$d"/*.log >&2
  exit 69
}

free_ports() {
  python3 -c 'import socket
two = [socket.socket() for _ in range(2)]
[s.bind(("127.0.0.1", 0)) for s in two]
print(*(s.getsockname()[1] for s in two))'
}

(umask 077 && head -c 1024 /dev/urandom >"$d/munge.key")
daemon munged munged --foreground --force --key-file="$d/munge.key" --socket="$d/munge.socket" \
  --pid-file="$d/munged.pid" --seed-file="$d/munge.seed" --num-threads=2
await test -S "$d/munge.socket"

read -r controller node < <(free_ports)
cat >"$d/slurm.conf" <<CONF
ClusterName=one
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$controller
SlurmdPort=$node
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
AuthInfo=socket=$d/munge.socket
CredType=cred/munge
StateSaveLocation=$d/state
SlurmdSpoolDir=$d/spool
SlurmctldPidFile=$d/slurmctld.pid
SlurmdPidFile=$d/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
KillWait=5
# a job asks for one processor, and several go on at a time whatever this machine has
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
NodeName=$host NodeAddr=127.0.0.1 CPUs=${ONE_NODE_CPUS:-8} RealMemory=8000 State=UNKNOWN
PartitionName=all Nodes=$host Default=YES MaxTime=30 State=UP
CONF
export SLURM_CONF=$d/slurm.conf
daemon slurmctld slurmctld -D
await scontrol ping
daemon slurmd slurmd -D
await sh -c 'test "$(sinfo --noheader --format %t)" = idle'

timeout --foreground --kill-after=10 "$life" "$@"
