"""requests, the HTTP client that most Python programs use, asks through a security server.

SOAP with an attachment is put together by the standard library's e-mail package; REST is called by what the provider's
OpenAPI description says. Usage: by_requests.py SERVER CLIENT SOAP_PROVIDER REST_SERVICE, identifiers with slashes. Prints
one line of JSON.
"""

import base64
import hashlib
import json
import sys
from email.message import MIMEPart
from email.policy import SMTP
from xml.sax.saxutils import escape

import requests

server, client, soap_provider, rest_service = sys.argv[1:]
NAMES = ["xRoadInstance", "memberClass", "memberCode", "subsystemCode", "serviceCode", "serviceVersion"]


def identifier(tag, kind, path):
    parts = "".join(f"<i:{name}>{escape(part)}</i:{name}>" for name, part in zip(NAMES, path.split("/")))
    return f'<x:{tag} i:objectType="{kind}">{parts}</x:{tag}>'


def envelope(code, message_id, body):
    return (
        '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" xmlns:x="http://x-road.eu/xsd/xroad.xsd"'
        ' xmlns:i="http://x-road.eu/xsd/identifiers" xmlns:m="http://measure.example/soap"><s:Header>'
        + identifier("client", "SUBSYSTEM", client)
        + identifier("service", "SERVICE", f"{soap_provider}/{code}/v1")
        + f"<x:id>{message_id}</x:id><x:userId>EE1</x:userId><x:protocolVersion>4.0</x:protocolVersion>"
        f"</s:Header><s:Body><m:{code}>{body}</m:{code}></s:Body></s:Envelope>"
    )


def with_attachment():
    content = bytes(range(256)) * 400
    related = MIMEPart(policy=SMTP)
    root = MIMEPart(policy=SMTP)
    root.set_content(
        envelope("measureFile", "requests-file", "<File>cid:bytes.bin</File>").encode(),
        maintype="text", subtype="xml", cte="8bit", cid="<root>",
    )
    root.set_param("charset", "UTF-8")
    file = MIMEPart(policy=SMTP)
    file.set_content(
        content, maintype="application", subtype="octet-stream", cte="base64", cid="<bytes.bin>",
        disposition="attachment", filename="bytes.bin",
    )
    related.make_related()
    related.attach(root)
    related.attach(file)
    related.set_param("type", "text/xml")
    related.set_param("start", "<root>")
    whole = related.as_bytes()
    head, _, body = whole.partition(b"\r\n\r\n")
    content_type = next(
        value for name, value in related.items() if name.lower() == "content-type"
    )
    answer = requests.post(
        server,
        data=body,
        headers={"Content-Type": " ".join(content_type.split()), "SOAPAction": '"measureFile"'},
        timeout=60,
    )
    return {
        "status": answer.status_code,
        "text": answer.text,
        "size": len(content),
        "digest": "sha3-512=" + base64.b64encode(hashlib.sha3_512(content).digest()).decode(),
    }


def by_description():
    """Reads the service's description through the server, and calls every GET that needs no more than it tells."""
    headers = {"X-Road-Client": client}
    provider, _, code = rest_service.rpartition("/")
    described = requests.get(
        f"{server}/r1/{provider}/getOpenAPI", params={"serviceCode": code}, headers=headers, timeout=60
    )
    described.raise_for_status()
    description = described.json()
    called = {}
    for path, operations in description["paths"].items():
        operation = operations.get("get")
        if operation is None:
            continue
        where = path
        for parameter in operation.get("parameters", []) + operations.get("parameters", []):
            if parameter["in"] == "path":
                where = where.replace("{" + parameter["name"] + "}", str(parameter["example"]))
        answer = requests.get(f"{server}/r1/{rest_service}{where}", headers=headers, timeout=60)
        called[path] = {"status": answer.status_code, "service": answer.headers.get("x-road-service")}
    return {"openapi": description["openapi"], "servers": description.get("servers"), "called": called}


print(json.dumps({"attachment": with_attachment(), "rest": by_description()}))
