# Sends what Scarf's shell client sends, as a script that is sourced: when the script that sources it ends, a POST with
# everything in the query, nothing encoded, no body, and the response on the user's terminal. Rewritten.
#
#     SCARF_BASE_URL=http://...  SCARF_PACKAGE_VERSION=1.2
#     . scarf_like.sh

started=$(date +%s)

report() {
    code=$?
    if [ "$SCARF_ANALYTICS" = "FALSE" ]; then
        return
    fi
    seconds=$(($(date +%s) - started))
    query="platform=$(uname -s)&elapsed_time=$seconds&exit_code=$code&version=${SCARF_PACKAGE_VERSION:-unknown}"
    curl --silent --show-error --connect-timeout 3 -X POST "$SCARF_BASE_URL?$query"
}

trap report EXIT
