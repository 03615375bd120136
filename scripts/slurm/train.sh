#!/bin/bash
# Train under Slurm, on one node or on many, in the folder that you submit from:
#   sbatch --nodes=2 scripts/slurm/train.sh experiment=ucas_qwen_math_1p5b
#   ACCELERATE_CONFIG=scripts/launch/zero3.yaml sbatch --nodes=2 scripts/slurm/train.sh launch=zero3 experiment=ucas_qwen_math_7b
# Both experiments are for 16 processes; docs/cluster.md has one node. With ACCELERATE_CONFIG=FILE,
# `accelerate launch` starts the processes, else torchrun.
# Before the time limit and when pre-empted, the run saves and the job goes back to the queue. It is
# the same run when it starts again: its folder has the job's number (docs/cluster.md).
# Account, partition, modules and container are your cluster's: add them here or after sbatch.
#SBATCH --job-name=rlconf
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=32
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@300
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=slurm-%j.out

MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000))
# Told to stop, torchrun kills its processes after 30 s: a step and its checkpoint take longer.
TORCH_ELASTIC_SHUTDOWN_TIMEOUT=${TORCH_ELASTIC_SHUTDOWN_TIMEOUT:-1800}
export MASTER_ADDR MASTER_PORT TORCH_ELASTIC_SHUTDOWN_TIMEOUT

node() { # on each node: a process for each GPU; exit status 143 where it was told to stop
    local child='' told='' status
    # Slurm may signal this shell alone (proctrack/cgroup), which obeys at once only in `wait`.
    trap 'told=143; [ -z "$child" ] || kill -TERM "$child"' TERM
    gpus=${SLURM_GPUS_ON_NODE:-1}
    if [ -n "$ACCELERATE_CONFIG" ]; then
        accelerate launch --config_file "$ACCELERATE_CONFIG" \
            --num_machines "$SLURM_JOB_NUM_NODES" --machine_rank "$SLURM_NODEID" \
            --num_processes $((gpus * SLURM_JOB_NUM_NODES)) \
            --main_process_ip "$MASTER_ADDR" --main_process_port "$MASTER_PORT" \
            --deepspeed_multinode_launcher standard \
            "$(command -v rlconf)" train "$@" &
    else
        torchrun --nnodes "$SLURM_JOB_NUM_NODES" --node_rank "$SLURM_NODEID" \
            --nproc_per_node "$gpus" --master_addr "$MASTER_ADDR" --master_port "$MASTER_PORT" \
            --no-python rlconf train "$@" &
    fi
    child=$!
    [ -z "$told" ] || kill -TERM "$child"
    wait "$child"
    status=$?
    while kill -0 "$child" 2>/dev/null; do
        wait "$child"
        status=$?
    done
    [ "$status" = 0 ] || exit "${told:-$status}"
}
export -f node

srun --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" --kill-on-bad-exit=1 \
    bash -c 'node "$@"' node "$@" resume=auto
status=$?
if [ "$status" = 143 ]; then
    job=$SLURM_JOB_ID
    # One task of an array has the array's own number, and that would requeue all tasks.
    [ -z "$SLURM_ARRAY_TASK_ID" ] || job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
    case $(squeue --noheader --format=%T --jobs="$job") in
        CANCELLED | COMPLETING) ;; # somebody cancelled it, and it stays so
        *) scontrol requeue "$job" ;;
    esac
fi
exit "$status"
