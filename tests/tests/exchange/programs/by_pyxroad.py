"""pyxroad, a client library made for X-Road-like servers, asks through a security server.

It fetches the description at SERVER/wsdl?xRoadInstance=...&version=..., and sends its message with the security server as
its HTTP proxy. Usage: by_pyxroad.py SERVER CLIENT PROVIDER. Prints one line of JSON.
"""

import json
import sys

from XRoad import XClient
from zeep import Settings

from schemas import transport

server, client, provider = sys.argv[1:]
soap = XClient(
    ssu=server,
    client=client,
    service=f"{provider}/sumNumbers/v1",
    transport=transport(),
    settings=Settings(strict=False),
)
answer = soap.request(xroad_id="pyxroad-1", First=20, Second=22, Note="đường")
print(json.dumps({"sum": answer["body"], "id": answer["header"]["id"]}, default=str))
