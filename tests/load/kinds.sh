#!/bin/sh
# Compares the kinds of messages with one another, in one run: REST with 1 KiB, SOAP with 1 KiB, SOAP with an attachment of
# 100 KiB. Same driver, servers, connections and machine; what counts is the ratio.
#
#   SECONDS_EACH=5 CONNECTIONS=32 KEY=p256 sh tests/load/kinds.sh
#
# Uses loopback ports from PORT (default 19000) on. SANDBOX names the binary; without it, it is built.
set -u
seconds=${SECONDS_EACH:-5}
connections=${CONNECTIONS:-32}
key=${KEY:-p256}
port=${PORT:-19000}
root=$(cd "$(dirname "$0")/../.." && pwd) || exit 2
if [ -z "${SANDBOX:-}" ]; then
    cargo build --quiet --release -p sandbox --manifest-path "$root/Cargo.toml" || exit 2
    SANDBOX=$root/target/release/sandbox
fi
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

figure() { sed -n "s/^ *\"$1\": \([0-9.]*\),*$/\1/p" "$work/figures" | head -n 1; }

printf '%-18s %11s %8s %8s %8s %8s %10s\n' kind exchanges/s ratio 'p50 ms' 'p99 ms' 'CPU ms' 'memory MB'
for kind in rest soap soap-attachment; do
    if ! timeout $((seconds + 60)) "$SANDBOX" load --json --seconds "$seconds" --kind "$kind" --key "$key" \
        --connections "$connections" --port-base "$port" >"$work/figures" 2>"$work/log"; then
        printf '%s failed:\n' "$kind" >&2
        cat "$work/log" "$work/figures" >&2
        exit 1
    fi
    rate=$(figure exchanges_per_second)
    [ "$kind" = rest ] && base=$rate
    ratio=$(awk "BEGIN { printf \"%.2f\", $rate / $base }")
    printf '%-18s %11s %8s %8s %8s %8s %10s\n' "$kind" "$rate" "$ratio" "$(figure p50)" "$(figure p99)" \
        "$(figure cpu_ms_per_exchange)" "$(figure memory_peak_mb)"
done
