"""A SOAP service made with fastapi-xroad-soap, a provider's library that Causeway's authors did not write.

Usage: provider.py PORT. Answers sumNumbers (plain SOAP), and measureFile and getFile (SOAP with
attachments) at http://127.0.0.1:PORT/service; its WSDL is at /service?wsdl.
"""

import sys

import uvicorn
from fastapi_xroad_soap import MessageBody, SoapService
from fastapi_xroad_soap.elements import Integer, String, SwaRef

NAMESPACE = "http://measure.example/soap"
soap = SoapService(name="MeasureService", path="/service", this_namespace=NAMESPACE)


# The body's element is named after the class; message protocol 4.0 asks for the service code.
class sumNumbers(MessageBody):
    first = Integer()
    second = Integer()
    note = String()


class sumNumbersResponse(MessageBody, ns="m", nsmap={"m": NAMESPACE}):
    sum = Integer()
    note = String()


class measureFile(MessageBody):
    file = SwaRef.Element()


class measureFileResponse(MessageBody, ns="m", nsmap={"m": NAMESPACE}):
    size = Integer()
    digest = String()


class getFile(MessageBody):
    size = Integer()


class getFileResponse(MessageBody, ns="m", nsmap={"m": NAMESPACE}):
    file = SwaRef.Element()


@soap.action("sumNumbers")
def sum_numbers(body: sumNumbers) -> sumNumbersResponse:
    if body.note == "trouble":
        raise RuntimeError("the numbers are out of order")
    return sumNumbersResponse(sum=body.first + body.second, note=body.note)


@soap.action("measureFile")
def measure_file(body: measureFile) -> measureFileResponse:
    return measureFileResponse(size=body.file.size, digest=body.file.digest)


@soap.action("getFile")
def get_file(body: getFile) -> getFileResponse:
    content = bytes(65 + number % 26 for number in range(body.size))
    return getFileResponse(file=SwaRef.File(name="letters.txt", content=content))


uvicorn.run(soap, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
