#!/bin/sh
# Plain shell: run a training command and report its completion, however the command or this script ends.
#
#     EXPERIMENT=mnist-7 PS_MODEL_PATH=/shared/runs/mnist-7 recipes/shell.sh python train.py
#
# `modelport run -- COMMAND` does the same and more; this is for scripts that do other things too.
# MODELPORT_API_URL and MODELPORT_TOKEN come from the environment.
set -u
: "${EXPERIMENT:?the name of the experiment}" "${PS_MODEL_PATH:?the folder of its model}"
export PS_MODEL_PATH

report() {
    status=$?
    trap - EXIT
    trap '' HUP INT TERM # the report is made
    state=failed
    [ "$status" -eq 0 ] && state=stopped
    modelport complete "$EXPERIMENT" --model-path "$PS_MODEL_PATH" --state "$state" --id "shell/$EXPERIMENT/$(date +%s)-$$" >&2
    exit "$status"
}
pass_on() {
    kill -s "$1" "$!" 2>/dev/null # not "$child": the signal may come before that is set
}
trap report EXIT
trap 'pass_on TERM' TERM
trap 'pass_on INT' INT
trap 'pass_on HUP' HUP

"$@" &
child=$!
# A signal ends a wait early, so wait until the command itself has ended.
while :; do
    wait "$child"
    status=$?
    kill -0 "$child" 2>/dev/null || break
done
exit "$status"
