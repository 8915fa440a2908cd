#!/bin/sh
# Slurm: report each finished training job, from the controller, once a job.
#
# In slurm.conf:   EpilogSlurmctld=/etc/slurm/modelport_epilog.sh
# In the jobs:     export PS_MODEL_PATH="/shared/runs/$SLURM_JOB_ID"; mkdir -p "$PS_MODEL_PATH"
# Jobs that leave no such folder are none of our business.
#
# /etc/modelport/client.env, readable by SlurmUser alone, holds MODELPORT_API_URL, MODELPORT_TOKEN, and MODELPORT_HOME for the
# completions that no server takes: they are sent with the next one. MODELPORT_RUNS may name another folder of the runs.
#
# Source of the variables: Slurm, "Prolog and Epilog Guide". SLURM_JOB_EXIT_CODE2 is EXIT:SIGNAL.
set -u
export PATH="${MODELPORT_BIN:-/opt/modelport/bin}:/usr/bin:/bin" # Slurm gives none

client="${MODELPORT_CLIENT_ENV:-/etc/modelport/client.env}"
if [ -r "$client" ]; then
    set -a
    . "$client"
    set +a
fi

run="${MODELPORT_RUNS:-/shared/runs}/$SLURM_JOB_ID"
[ -d "$run" ] || exit 0

case "${SLURM_JOB_EXIT_CODE2:-0:0}" in
    0:0) state=stopped ;;
    *) state=failed ;;
esac

# A job that is requeued ends more than once; the time tells its ends apart.
timeout 60 modelport complete "slurm-$SLURM_JOB_ID" \
    --project "${SLURM_JOB_ACCOUNT:-slurm}" \
    --model-path "$run" \
    --state "$state" \
    --id "slurm/${SLURM_CLUSTER_NAME:-cluster}/$SLURM_JOB_ID/$(date +%s)" ||
    logger -t modelport "the completion of job $SLURM_JOB_ID was not taken"
exit 0 # whatever happens here is no reason for Slurm to act
