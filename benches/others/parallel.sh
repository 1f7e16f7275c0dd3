#!/usr/bin/env bash
# Edits the messages of a list with GNU parallel and curl, as its manual suggests: with a job log to resume from.
set -euo pipefail
list=$1 url=$2 log=$3 rate=$4

parallel --will-cite --jobs 16 --delay "$(awk "BEGIN { print 1 / $rate }")" --joblog "$log" --resume \
    curl --silent --show-error --fail --output /dev/null --header "'Content-Type: application/json'" \
    --data-raw '{}' "'$url'" <"$list"
