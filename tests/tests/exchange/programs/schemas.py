"""Schemas that WSDL files name by web addresses: a test asks nobody on the web for them.

The header's schema says what message protocol 4.0 (Annex A) says; it is written here for these tests.
"""

XROAD = b"""<?xml version="1.0" encoding="UTF-8"?>
<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:id="http://x-road.eu/xsd/identifiers"
    xmlns="http://x-road.eu/xsd/xroad.xsd" targetNamespace="http://x-road.eu/xsd/xroad.xsd"
    elementFormDefault="qualified">
  <xs:import namespace="http://x-road.eu/xsd/identifiers"
      schemaLocation="http://x-road.eu/xsd/identifiers.xsd"/>
  <xs:element name="client" type="id:Identifier"/>
  <xs:element name="service" type="id:Identifier"/>
  <xs:element name="id" type="xs:string"/>
  <xs:element name="userId" type="xs:string"/>
  <xs:element name="issue" type="xs:string"/>
  <xs:element name="protocolVersion" type="xs:string"/>
</xs:schema>
"""

IDENTIFIERS = b"""<?xml version="1.0" encoding="UTF-8"?>
<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns="http://x-road.eu/xsd/identifiers"
    targetNamespace="http://x-road.eu/xsd/identifiers" elementFormDefault="qualified">
  <xs:attribute name="objectType" type="xs:string"/>
  <xs:complexType name="Identifier">
    <xs:sequence>
      <xs:element name="xRoadInstance" type="xs:string" minOccurs="0"/>
      <xs:element name="memberClass" type="xs:string" minOccurs="0"/>
      <xs:element name="memberCode" type="xs:string" minOccurs="0"/>
      <xs:element name="subsystemCode" type="xs:string" minOccurs="0"/>
      <xs:element name="serviceCode" type="xs:string" minOccurs="0"/>
      <xs:element name="serviceVersion" type="xs:string" minOccurs="0"/>
    </xs:sequence>
    <xs:attribute ref="objectType" use="required"/>
  </xs:complexType>
</xs:schema>
"""

SWAREF = b"""<?xml version="1.0" encoding="UTF-8"?>
<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns="http://ws-i.org/profiles/basic/1.1/xsd"
    targetNamespace="http://ws-i.org/profiles/basic/1.1/xsd">
  <xs:simpleType name="swaRef"><xs:restriction base="xs:anyURI"/></xs:simpleType>
</xs:schema>
"""

BY_ADDRESS = {
    "http://x-road.eu/xsd/xroad.xsd": XROAD,
    "http://x-road.eu/xsd/identifiers.xsd": IDENTIFIERS,
    "http://ws-i.org/profiles/basic/1.1/swaref.xsd": SWAREF,
}


def transport(**options):
    """A zeep transport that knows the schemas above and asks the network for everything else.

    It writes messages as fastapi-xroad-soap reads them: prefixes declared at the envelope, no XML declaration.
    """
    from lxml import etree
    from zeep.transports import Transport

    class WithSchemas(Transport):
        def load(self, url):
            return BY_ADDRESS.get(url) or super().load(url)

        def post_xml(self, address, envelope, headers):
            etree.cleanup_namespaces(envelope, top_nsmap={"m": "http://measure.example/soap"})
            return self.post(address, etree.tostring(envelope, encoding="utf-8"), headers)

    return WithSchemas(**options)
