#!/usr/bin/env bash
# Edits the messages of a list with xargs and curl. xargs has no rate limit, so its input is fed at that rate; nor does
# it record what is done, so curl's answers are the log.
set -euo pipefail
list=$1 url=$2 log=$3 rate=$4

feed() {
    local interval_us=$((1000000 / rate)) due_us=${EPOCHREALTIME/./} now_us body
    # A pipe without a writer: reading it with a timeout sleeps without starting a process.
    exec {never}<> <(:)
    while IFS= read -r body; do
        now_us=${EPOCHREALTIME/./}
        if ((due_us > now_us)); then
            read -rt "$(printf '0.%06d' $((due_us - now_us)))" -u "$never" || true
        fi
        due_us=$((due_us + interval_us))
        printf '%s\n' "$body"
    done
}

feed <"$list" | xargs -d '\n' -P 16 -I '{}' curl --silent --show-error --fail --header 'Content-Type: application/json' \
    --data-raw '{}' "$url" >"$log"
