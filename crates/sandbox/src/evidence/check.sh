#!/bin/sh
# Checks the evidence of this folder with tools of others: unzip, xmlsec1 and openssl.
# Exits 0 when all of them hold. What each step proves is in README.txt.
# An independent judgement of everything at once: auditor verify *.asice --conf verificationconf
cd "$(dirname "$0")" || exit 2
for tool in unzip xmlsec1 openssl; do
    command -v "$tool" >/dev/null || { echo "$tool is not installed"; exit 2; }
done
home=$(pwd)
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 2' HUP INT TERM PIPE
failed=0

# The text of the first element with a name.
element() {
    tr -d '\r\n' <META-INF/signatures.xml | sed -n "s|.*<$1[^>]*>\([^<]*\)</$1>.*|\1|p"
}

# Runs a check and says how it went.
check() {
    name=$1
    shift
    if "$@" >"$work/said" 2>&1; then
        echo "  ok      $name"
    else
        echo "  FAILED  $name"
        sed 's/^/            /' "$work/said"
        failed=1
    fi
}

# What the signature names, of that part of it which is signed. A comment, or a second one of what there is
# one of, would show us other names or another signer than xmlsec1 sees.
names() {
    count() { grep -o "$1" META-INF/signatures.xml | wc -l; }
    if grep -q '<!' META-INF/signatures.xml || [ "$(count SignedInfo)" -ne 2 ] ||
        [ "$(count '<ds:X509Certificate>')" -ne 1 ]; then
        echo "META-INF/signatures.xml says more than one thing" >&2
        return 1
    fi
    tr -d '\r\n' <META-INF/signatures.xml | sed -n 's|.*<ds:SignedInfo>\(.*\)</ds:SignedInfo>.*|\1|p' |
        grep -o '<ds:Reference[^>]*>'
}

signature() {
    # Every part has the name that the signature gives it; this element's Id is one.
    set -- --id-attr:Id http://uri.etsi.org/01903/v1.3.2#:SignedProperties
    for part in message.xml attachment* sig-hashchainresult.xml; do
        [ -f "$part" ] && set -- "$@" "--url-map:/$part" "./$part"
    done
    xmlsec1 --verify "$@" --trusted-pem "$home/ca.pem" META-INF/signatures.xml
}

# That what is signed is the message with all that belongs to it: itself, or through the signature's hash
# chain, which must lead to the result that is signed.
covered() {
    names >"$work/names" || return
    set -- message.xml
    for part in attachment*; do
        [ -f "$part" ] && set -- "$@" "$part"
    done
    if grep -qF 'URI="/sig-hashchainresult.xml"' "$work/names"; then
        sh "$home/chain.sh" sig-hashchain.xml "$@"
        return
    fi
    for part; do
        grep -qF "URI=\"/$part\"" "$work/names" || { echo "$part is not signed"; return 1; }
    done
}

timestamp() {
    if [ -f META-INF/timestamp.tst ]; then
        # One timestamp for several signatures: it stamps the result of their hash chain.
        token=META-INF/timestamp.tst stamped=ts-hashchainresult.xml
        sh "$home/chain.sh" ts-hashchain.xml META-INF/signatures.xml || return
    else
        token=$work/token stamped=$work/stamped
        element xades:EncapsulatedTimeStamp | openssl base64 -d -A >"$token"
        element ds:SignatureValue | openssl base64 -d -A >"$stamped"
    fi
    openssl ts -verify -token_in -in "$token" -data "$stamped" -CAfile "$home/ca.pem" -untrusted "$home/tsa.pem"
}

ocsp() {
    element ds:X509Certificate | openssl base64 -d -A | openssl x509 -inform DER -out "$work/signer.pem" &&
        element xades:EncapsulatedOCSPValue | openssl base64 -d -A >"$work/ocsp.der" &&
        # Evidence is judged years later: what was fresh then is old now.
        openssl ocsp -respin "$work/ocsp.der" -no_nonce -issuer "$home/ca.pem" -cert "$work/signer.pem" \
            -CAfile "$home/ca.pem" -validity_period 3153600000 >"$work/status" 2>&1
    cat "$work/status"
    grep -q "Response verify OK" "$work/status" && grep -q "signer.pem: good" "$work/status"
}

# What the registry signs: from the inner multipart's first delimiter to the end of its last.
configuration() {
    inner=$(sed -n 's/^Content-Type: multipart\/mixed;.*boundary=\([^ ;]*\)\r$/\1/p' internalconf)
    awk -v inner="--$inner" '
        index($0, inner) == 1 { inside = 1 }
        inside { print }
        index($0, inner "--") == 1 { exit }' internalconf >"$work/signed"
    digest=$(sed -n 's/^Signature-Algorithm-Id: .*-\(sha[0-9]*\)\r$/\1/p' internalconf)
    # The signature is the last part: the line before the last delimiter.
    tail -n 2 internalconf | head -n 1 | tr -d '\r\n' | openssl base64 -d -A >"$work/signature"
    sed -n 's/.*<verificationCert>\([^<]*\)<.*/\1/p' anchor.xml | head -n 1 | openssl base64 -d -A |
        openssl x509 -inform DER -noout -pubkey >"$work/registry.pem" &&
        openssl dgst "-$digest" -verify "$work/registry.pem" -signature "$work/signature" "$work/signed"
}

# The parameters that the auditor judges by are those that were signed.
parameters() {
    digest=$(openssl dgst -sha512 -binary "$1" | openssl base64 -A)
    grep -qF "$digest" internalconf
}

echo "internalconf"
check "signature of the global configuration, by the key of anchor.xml (openssl dgst)" configuration
for file in verificationconf/*/shared-params.xml; do
    check "$file is the signed one (openssl dgst)" parameters "$file"
done
for container in *.asice; do
    echo "$container"
    rm -rf "$work/unpacked" && mkdir "$work/unpacked" && cd "$work/unpacked" || exit 2
    unzip -q "$home/$container" || failed=1
    check "signature, by a certificate of ca.pem (xmlsec1)" signature
    check "the signature covers message.xml and attachments (openssl dgst)" covered
    check "timestamp, by a hash chain or of the signature alone (openssl ts)" timestamp
    check "the signer's certificate was good (openssl ocsp)" ocsp
    cd "$home" || exit 2
done
exit "$failed"
