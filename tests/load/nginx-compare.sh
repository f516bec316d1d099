#!/bin/sh
# Compares the sandbox with the fastest thing that could stand in its place and proves nothing:
#
#   driver -> nginx -> mutual TLS 1.3 -> nginx -> static answer
#   driver -> security server -> mutual TLS 1.3 -> security server -> information system,
#             every message signed, verified, timestamped and durably logged on both sides
#
# The same driver (`sandbox load`), connections, answer size and machine for both, in one run;
# what counts is the ratio. Needs nginx (Debian: apt install nginx-light) and openssl; uses
# loopback ports from PORT (default 19000) on, and keys and folders that go when it ends.
#
#   SECONDS_EACH=5 CONNECTIONS=32 BODY=1024 KEYS="p256 rsa2048" sh tests/load/nginx-compare.sh
#
# SANDBOX names the binary; without it, it is built. Exits 2 when something is missing.
set -u
seconds=${SECONDS_EACH:-5}
connections=${CONNECTIONS:-32}
body=${BODY:-1024}
keys=${KEYS:-p256 rsa2048}
port=${PORT:-19000}
root=$(cd "$(dirname "$0")/../.." && pwd) || exit 2

say() { printf '%s\n' "$*" >&2; }
for tool in nginx openssl timeout; do
    PATH=$PATH:/usr/sbin command -v "$tool" >/dev/null || { say "$tool is not installed"; exit 2; }
done
PATH=$PATH:/usr/sbin
if [ -z "${SANDBOX:-}" ]; then
    cargo build --quiet --release -p sandbox --manifest-path "$root/Cargo.toml" || exit 2
    SANDBOX=$root/target/release/sandbox
fi
work=$(mktemp -d) || exit 2

stop() {
    for name in front back; do
        [ -f "$work/$name.pid" ] && kill "$(cat "$work/$name.pid")" 2>/dev/null
    done
    rm -rf "$work"
}
trap stop EXIT
trap 'exit 130' INT TERM

# Throw-away certificates: an authority and one certificate for each side.
openssl_quietly() { openssl "$@" >"$work/openssl.log" 2>&1 || { cat "$work/openssl.log" >&2; exit 2; }; }
key() { openssl_quietly ecparam -name prime256v1 -genkey -noout -out "$work/$1.key"; }
key ca
openssl_quietly req -x509 -new -key "$work/ca.key" -subj /CN=compare-ca -days 2 -out "$work/ca.pem"
for side in front back; do
    key "$side"
    openssl_quietly req -new -key "$work/$side.key" -subj "/CN=$side" -out "$work/$side.csr"
    openssl_quietly x509 -req -in "$work/$side.csr" -CA "$work/ca.pem" -CAkey "$work/ca.key" \
        -CAcreateserial -days 2 -out "$work/$side.pem"
done
mkdir "$work/files" "$work/temporary" && head -c "$body" /dev/zero | tr '\0' x >"$work/files/answer" || exit 2

frame() {
    cat <<END
user $(id -un) $(id -gn);
worker_processes auto;
pid $work/$1.pid;
error_log $work/$1.log warn;
events { worker_connections 1024; }
http {
    access_log off;
    keepalive_requests 1000000000;
    sendfile on;
    tcp_nodelay on;
    client_body_temp_path $work/temporary/body-$1;
    proxy_temp_path $work/temporary/proxy-$1;
    fastcgi_temp_path $work/temporary/f-$1;
    uwsgi_temp_path $work/temporary/u-$1;
    scgi_temp_path $work/temporary/s-$1;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
END
}
# The consumer's side: plain HTTP in, mutual TLS 1.3 out.
{
    frame front
    cat <<END
    upstream back { server 127.0.0.1:$((port + 1)); keepalive 256; keepalive_requests 1000000000; }
    server {
        listen 127.0.0.1:$port;
        location / {
            proxy_pass https://back;
            proxy_ssl_protocols TLSv1.3;
            proxy_ssl_certificate $work/front.pem;
            proxy_ssl_certificate_key $work/front.key;
            proxy_ssl_trusted_certificate $work/ca.pem;
            proxy_ssl_verify on;
            proxy_ssl_name back;
        }
    }
}
END
} >"$work/front.conf"
# The provider's side, and the static answer behind it.
{
    frame back
    cat <<END
    upstream answers { server 127.0.0.1:$((port + 2)); keepalive 256; keepalive_requests 1000000000; }
    server {
        listen 127.0.0.1:$((port + 1)) ssl;
        ssl_protocols TLSv1.3;
        ssl_certificate $work/back.pem;
        ssl_certificate_key $work/back.key;
        ssl_client_certificate $work/ca.pem;
        ssl_verify_client on;
        location / { proxy_pass http://answers; }
    }
    server {
        listen 127.0.0.1:$((port + 2));
        root $work/files;
    }
}
END
} >"$work/back.conf"
for side in back front; do
    nginx -e "$work/$side.log" -p "$work" -c "$work/$side.conf" || { cat "$work/$side.log" >&2; exit 2; }
done

# Runs the driver; a bound beside its own keeps the whole bounded.
load() { timeout $((seconds + 60)) "$SANDBOX" load --json --seconds "$seconds" "$@" 2>"$work/load.log"; }
figure() { sed -n "s/^ *\"$1\": \([0-9.]*\),*$/\1/p" | head -n 1; }

# Two rows for one candidate, many connections and a lone one. $1 is its name; the rest is for the driver.
measure() {
    name=$1
    shift
    for count in "$connections" 1; do
        if ! load --connections "$count" "$@" >"$work/figures"; then
            say "$name failed:"
            cat "$work/load.log" "$work/figures" >&2
            exit 1
        fi
        rate=$(figure exchanges_per_second <"$work/figures")
        [ "$name" = nginx ] && eval "base_$count=$rate"
        eval "base=\$base_$count"
        ratio=$(awk "BEGIN { printf \"%.3f\", $rate / $base }")
        printf '%-18s %11s %11s %8s %8s %9s %9s %9s %10s\n' "$name" "$count" "$rate" "$ratio" \
            "$(figure p50 <"$work/figures")" "$(figure p99 <"$work/figures")" \
            "$(figure p99.9 <"$work/figures")" "$(shown cpu_ms_per_exchange)" "$(shown memory_peak_mb)"
    done
}
# What the driver tells of its own process says nothing about nginx.
shown() { if [ "$name" = nginx ]; then echo -; else figure "$1" <"$work/figures"; fi; }

printf '%-18s %11s %11s %8s %8s %9s %9s %9s %10s\n' path connections exchanges/s ratio 'p50 ms' 'p99 ms' 'p99.9 ms' 'CPU ms' 'memory MB'
measure nginx --target "http://127.0.0.1:$port/answer"
for key in $keys; do
    measure "sandbox $key" --key "$key" --body "$body" --port-base $((port + 100))
done
