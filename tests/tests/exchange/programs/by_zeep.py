"""zeep, a SOAP client that Causeway's authors did not write, asks through a security server.

Usage: by_zeep.py SERVER WSDL CLIENT PROVIDER. CLIENT and PROVIDER are INSTANCE/CLASS/MEMBER/SUBSYSTEM, WSDL an address
or a file. Prints one line of JSON.
"""

import json
import sys

import zeep
from zeep.exceptions import Fault
from zeep.helpers import serialize_object

from schemas import transport

server, wsdl, client, provider = sys.argv[1:]
NAMES = ["xRoadInstance", "memberClass", "memberCode", "subsystemCode"]


def identifier(kind, path, **more):
    return {**dict(zip(NAMES, path.split("/"))), **more, "objectType": kind}


def headers(code, message_id, who=client):
    return {
        "client": identifier("SUBSYSTEM", who),
        "service": identifier("SERVICE", provider, serviceCode=code, serviceVersion="v1"),
        "id": message_id,
        "userId": "EE12345678901",
        "protocolVersion": "4.0",
    }


soap = zeep.Client(wsdl, transport=transport(), settings=zeep.Settings(strict=False))
service = soap.create_service("{http://measure.example/soap}serviceBinding", server)


def fault_of(code, message_id, who=client, **body):
    try:
        getattr(service, code)(**body, _soapheaders=headers(code, message_id, who))
    except Fault as fault:
        return {"code": fault.code, "text": fault.message}
    return None


numbers = {"First": 40, "Second": 2, "Note": "Đặng <&> õ"}
answer = service.sumNumbers(**numbers, _soapheaders=headers("sumNumbers", "zeep-sum"))
pack = service.getFile(Size=100000, _soapheaders=headers("getFile", "zeep-file"))
(attachment,) = pack.attachments
print(
    json.dumps(
        {
            "sum": serialize_object(answer.body, dict),
            "header": serialize_object(answer.header, dict),
            "file": {
                "size": len(attachment.content),
                "start": attachment.content[:26].decode(),
                "names": attachment.headers.get("Content-Disposition"),
            },
            "service_fault": fault_of("sumNumbers", "zeep-fault", First=1, Second=2, Note="trouble"),
            "http_error": fault_of("measureFile", "zeep-error", File="cid:nothing-is-attached"),
            "stranger": fault_of("sumNumbers", "zeep-stranger", client.rsplit("/", 1)[0] + "/nobody", **numbers),
        },
        default=str,
    )
)
